"""Evaluate the answers to choose from on the four sets:

    python -m training.evaluation.variants --pool SHARDS --light FOLDER

For each set: the fMSE that the first answer leaves, the likeliest one, and the best one, as a user would choose by eye;
beside them the best of an untrained head's fixed shifts. Pictures go through the same pipeline as a user's. Also how
different the variants are, and how much of the object they clip beyond the first. By default, the half for choosing is
evaluated; --final uses the held-out half.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from gknet.fits import LayerFit
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from gknet.network.extensions.variants import VariantHead
from training.data.sample import Sample
from training.evaluation.command import run_command
from training.evaluation.four_sets import judge_sets, name_halves, parse_options
from training.evaluation.score_tables import ScoreTable


class Choice(NamedTuple):
    """One composite and its answers.

    before, first, likeliest, best, fixed: fMSE of the composite, of three of its answers, and of the best among fixed
    shifts, in squared 8-bit levels.
    offered: number of answers.   chosen: index of the best.   guessed: index of the likeliest.
    apart: smallest root mean square difference of two answers over the object, in levels.
    clipped: largest share of the object that an answer moves out of the range, beyond the first.
    """

    before: float
    first: float
    likeliest: float
    best: float
    fixed: float
    offered: int
    chosen: int
    guessed: int
    apart: float
    clipped: float


def choose(sample: Sample, learnt: Harmonizer, fixed: Harmonizer) -> Choice:
    """Harmonize a sample in all ways."""
    inside = sample.mask >= 0.5
    real = sample.real[inside].astype(float)
    fit = _fit(sample, learnt)
    exact = _apply(sample, fit)
    answers = [_round(answer) for answer in exact]
    errors = [float(np.square(answer - real).mean()) for answer in answers]
    shares = [variant.probability for variant in fit.variants]
    pairs = [(one, other) for index, one in enumerate(answers) for other in answers[:index]]
    clipped = [float(((answer < -0.5) | (answer > 255.5)).any(axis=1).mean()) for answer in exact]
    return Choice(
        before=float(np.square(sample.composite[inside] - real).mean()),
        first=errors[0],
        likeliest=errors[int(np.argmax(shares))],
        best=min(errors),
        fixed=min(float(np.square(_round(answer) - real).mean()) for answer in _apply(sample, _fit(sample, fixed))),
        offered=len(answers),
        chosen=int(np.argmin(errors)),
        guessed=int(np.argmax(shares)),
        apart=min((float(np.sqrt(np.square(one - other).mean())) for one, other in pairs), default=np.inf),
        clipped=max(clipped) - clipped[0],
    )


def _fit(sample: Sample, harmonizer: Harmonizer) -> LayerFit:
    return harmonizer.fit_layer(_cut_out(sample), sample.composite, at=(0, 0), canvas=sample.mask.shape[::-1])


def _apply(sample: Sample, fit: LayerFit) -> list[np.ndarray]:
    """Return the object's pixels (n, 3) in every variant, in levels, neither rounded nor clipped."""
    layer, inside = _cut_out(sample), sample.mask >= 0.5
    numbers = range(1, len(fit.variants) + 1)
    return [255 * fit.apply(layer, variant=number)[inside][:, :3].astype(float) for number in numbers]


def _round(pixels: np.ndarray) -> np.ndarray:
    return pixels.clip(0, 255).round()


def _cut_out(sample: Sample) -> np.ndarray:
    return np.dstack([sample.composite / np.float32(255), (sample.mask >= 0.5).astype(np.float32)])


def make_harmonizers(path: Path) -> tuple[Harmonizer, Harmonizer]:
    """Return a weight file's harmonizer, and the same with fixed shifts."""
    net = weights.load(path)
    learnt = Harmonizer(net)
    net.variant_head = VariantHead(net.config.variants)
    return learnt, Harmonizer(net)


def build_table(found: dict[str, list[Choice]], title: str) -> ScoreTable:
    """Return a table with a row for each set."""
    return ScoreTable(
        title=title,
        headings=[
            *("set", "n", "first", "likeliest", "best", "±", "best fixed", "likeliest is best"),
            *("offered", "apart", "clipped"),
        ],
        sections=[[_row(name, choices) for name, choices in found.items()]],
        notes=[
            "first … best fixed: mean fMSE over that of the untouched composites. ±: standard error.",
            "offered: mean number of answers. apart: smallest difference of two, in levels.",
            "clipped: largest share of an object that an answer moves out of the range, beyond the first.",
        ],
    )


def _row(name: str, choices: list[Choice]) -> list[str]:
    before = np.array([choice.before for choice in choices])
    best = np.array([choice.best for choice in choices])

    def share(values: list[float]) -> str:
        return f"{np.sum(values) / before.sum():.3f}"

    residual = best - best.sum() / before.sum() * before
    return [
        name,
        f"{len(choices)}",
        share([choice.first for choice in choices]),
        share([choice.likeliest for choice in choices]),
        share(best.tolist()),
        f"{np.sqrt(np.square(residual).sum()) / before.sum():.3f}",
        share([choice.fixed for choice in choices]),
        f"{100 * np.mean([choice.chosen == choice.guessed for choice in choices]):.0f} %",
        f"{np.mean([choice.offered for choice in choices]):.2f}",
        f"{min(choice.apart for choice in choices):.1f}",
        f"{100 * max(choice.clipped for choice in choices):.1f} %",
    ]


def _run(options: argparse.Namespace) -> None:
    harmonizers = make_harmonizers(options.weights)
    found = judge_sets(options, lambda sample: choose(sample, *harmonizers))
    build_table(found, name_halves(options)).show(Console(width=max(120, Console().width)))


def main() -> int:
    options = parse_options("python -m training.evaluation.variants", __doc__)
    return run_command("variants", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
