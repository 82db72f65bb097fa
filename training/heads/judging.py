"""Evaluation sets as examples (`training.heads.examples`), so that any heads are evaluated within a second.

Results are close to those of `training.evaluation.four_sets`, which also rounds, clips and resizes. Use that module for
weights that are to be shipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from gknet.errors import PictureError
from gknet.network.model import GKNet
from training.data.judging_sets.validation import is_selected
from training.data.sample import Sample
from training.evaluation.four_sets import Summary, summarize
from training.evaluation.metrics import Record, Scores
from training.heads.bank import Bank, read_pieces
from training.heads.examples import Examples, compute_squared_errors, join_examples, make_examples, predict_matrix

Labels = list[tuple[str, str, str]]
"""Set, key and kind of each example."""


def load_judging_examples(
    bank: Bank, net: GKNet, sets: dict[str, Callable[[], Iterator[Sample]]], every: int
) -> tuple[Labels, Examples]:
    """Load the examples of one in `every` composites of the sets from the bank; make them if they are missing."""
    path = bank.folder / f"judging-{every}"
    labels_path, examples_path = path.with_suffix(".labels"), path.with_suffix(".examples")
    if not labels_path.exists():
        labels: Labels = []
        made: list[Examples] = []
        for name, samples in sets.items():
            for sample in samples():
                if is_selected(sample.key, sample.kind, every):
                    labels.append((name, sample.key, sample.kind))
                    made.append(make_example(net, sample))
            if not labels or labels[-1][0] != name:
                raise PictureError(
                    f"No composite of the set {name} was selected.", "Lower --every to evaluate more of them."
                )
        bank.write(examples_path, join_examples(made))
        labels_path.write_text("\n".join("\t".join(label) for label in labels), encoding="utf-8")
    lines = labels_path.read_text(encoding="utf-8").splitlines()
    found = [(name, key, kind) for name, key, kind in (line.split("\t") for line in lines)]
    return found, read_pieces([examples_path])


def make_example(net: GKNet, sample: Sample) -> Examples:
    """Make the example of a sample, shown to the network as large as in use."""
    composite, real = (
        torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        for picture in (sample.composite, sample.real)
    )
    return make_examples(
        net, composite, real, torch.from_numpy(sample.mask.copy())[None, None].float(), net.config.network_size
    )


@torch.no_grad()
def judge_heads(net: GKNet, labels: Labels, examples: Examples) -> dict[str, Summary]:
    """Return the statistics of a network's heads for each set and each of its kinds."""
    everything = examples.select(torch.arange(len(labels)))
    errors = compute_squared_errors(everything, predict_matrix(net, everything), net.config.restraint)
    inside, pixels, whole = everything.scalars[:, 6], everything.pixels, everything.scalars[:, 2:4]
    groups: dict[str, list[Record]] = {}
    for index, (name, key, kind) in enumerate(labels):
        before, after = (
            _make_scores(float(foreground[index]), float(picture[index]), float(inside[index]), float(pixels[index]))
            for foreground, picture in ((whole[:, 0], whole[:, 1]), (errors.foreground, errors.picture))
        )
        record = Record(key, kind, float(inside[index] / pixels[index]), before, after)
        groups.setdefault(name, []).append(record)
        groups.setdefault(f"{name}: {kind}", []).append(record)
    return {name: summarize(records) for name, records in groups.items()}


def _make_scores(foreground: float, picture: float, inside: float, pixels: float) -> Scores:
    mse = 255**2 * picture / (3 * pixels)
    psnr = min(100.0, 10 * math.log10(255**2 / mse)) if mse > 0 else 100.0
    return Scores(mse, psnr, 255**2 * foreground / (3 * inside))


def format_comparison(before: dict[str, Summary], after: dict[str, Summary]) -> str:
    """Return a line per set that compares two kinds of weights."""
    lines = []
    for name, new in after.items():
        old = before[name]
        lines.append(
            f"{name:32} n {new.number:4}  fMSE left {old.share:.3f} -> {new.share:.3f} ± {new.share_error:.3f}"
            f"  gain {old.gain:+.2f} -> {new.gain:+.2f} ± {new.gain_error:.2f} dB"
            f"  worst 5 % {old.tail:.2f} -> {new.tail:.2f}  worse {100 * old.worse:.1f} -> {100 * new.worse:.1f} %"
        )
    return "\n".join(lines)
