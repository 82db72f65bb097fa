"""Evaluate weights on four sets of composites:

    python -m training.evaluation.four_sets --pool SHARDS --light FOLDER --weights FILE

The sets are our own synthesis on the validation photographs, transfers by third-party code, re-rendered scenes, and
real light of another hour. Each set has two halves. By default, the half for choosing weights is evaluated; --final
uses the held-out half, for weights that are already chosen. Evaluates the network alone at 256 x 256; pictures are
enlarged for the network, as in use.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from gknet.errors import PictureError
from gknet.network import weights
from training.data.judging_sets.other_code import make_other_code_samples
from training.data.judging_sets.real_light import make_real_light_samples
from training.data.judging_sets.rerendered import make_rerendered_samples
from training.data.judging_sets.validation import Half, is_selected, make_validation_samples, read_validation
from training.data.sample import Sample
from training.data.shards import Photographs
from training.evaluation.bare_network import BareNetwork
from training.evaluation.command import run_command
from training.evaluation.metrics import TOLERANCE, Record
from training.evaluation.score_tables import ScoreTable, by_kind

Result = TypeVar("Result")

SEVERE = 3.0
"""Loss of PSNR in dB from which a composite counts as much worse."""
TAIL = 0.05
"""Share of a set that counts as its worst cases, by fMSE after over fMSE before."""


class Summary(NamedTuple):
    """Statistics of a set's records.

    share: mean fMSE after over mean fMSE before.
    gain: mean change of PSNR, dB.
    share_error, gain_error: their standard errors; composites of one photograph count as one.
    tail: `share` of the worst TAIL.
    worse, badly: share of composites that lost at least TOLERANCE or SEVERE dB.
    """

    number: int
    share: float
    share_error: float
    gain: float
    gain_error: float
    tail: float
    worse: float
    badly: float


def summarize(records: list[Record]) -> Summary:
    """Return the statistics of at least one record."""
    before = np.array([record.before.fmse for record in records])
    after = np.array([record.after.fmse for record in records])
    gains = np.array([record.after.psnr - record.before.psnr for record in records])
    _, photograph = np.unique([record.key for record in records], return_inverse=True)
    share = after.sum() / before.sum()
    gain = gains.mean()
    worst = np.argsort(-after / before)[: max(1, round(TAIL * len(records)))]
    return Summary(
        number=len(records),
        share=float(share),
        share_error=_standard_error(after - share * before, photograph) / float(before.sum()),
        gain=float(gain),
        gain_error=_standard_error(gains - gain, photograph) / len(records),
        tail=float(after[worst].sum() / before[worst].sum()),
        worse=float((gains <= -TOLERANCE).mean()),
        badly=float((gains <= -SEVERE).mean()),
    )


def _standard_error(residuals: np.ndarray, photograph: np.ndarray) -> float:
    """Return the standard error of a sum whose residuals belong to photographs (N,); NaN for a single photograph."""
    sums = np.bincount(photograph, residuals)
    count = len(sums)
    return math.sqrt(float(np.square(sums).sum()) * count / (count - 1)) if count > 1 else math.nan


def open_sets(photographs: Photographs, light: Path, half: Half) -> dict[str, Callable[[], Iterator[Sample]]]:
    """Return a function for each of the four sets that yields one half's samples, by name."""
    return {
        "own": lambda: make_validation_samples(photographs, half=half),
        "other code": lambda: make_other_code_samples(photographs, half),
        "re-rendered": lambda: make_rerendered_samples(photographs, half),
        "real light": lambda: make_real_light_samples(light, half),
    }


def build_table(found: dict[str, list[Record]], title: str) -> ScoreTable:
    """Return a table with a row for each set and each of its kinds."""
    sections = []
    for name, records in found.items():
        groups = by_kind(records)
        whole = groups.pop("all")
        sections.append([_row(name, whole), *(_row(f"  {kind}", group) for kind, group in groups.items())])
    return ScoreTable(
        title=title,
        headings=["set", "n", "fMSE left", "±", "gain dB", "±", "worst 5 %", "worse", "badly"],
        sections=sections,
        notes=[
            "fMSE left: mean over composites, over the mean of the untouched ones. ±: standard error, by photograph.",
            f"worst 5 %: fMSE left of those that come out worst. worse, badly: lost {TOLERANCE} or {SEVERE:.0f} dB.",
        ],
    )


def _row(name: str, records: list[Record]) -> list[str]:
    found = summarize(records)
    return [
        name,
        f"{found.number}",
        f"{found.share:.3f}",
        f"{found.share_error:.3f}",
        f"{found.gain:+.2f}",
        f"{found.gain_error:.2f}",
        f"{found.tail:.2f}",
        f"{100 * found.worse:.1f} %",
        f"{100 * found.badly:.1f} %",
    ]


def parse_options(prog: str, description: str | None) -> argparse.Namespace:
    """Parse the options of a command that evaluates weights on the four sets."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--light", type=Path, required=True, help="folder of the fixed cameras' shards")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    parser.add_argument("--every", type=int, default=1, help="evaluate one in N composites of each set")
    parser.add_argument(
        "--final", action="store_true", help="evaluate the held-out halves, not those for choosing weights"
    )
    parser.add_argument("--threads", type=int, default=1, help="number of torch threads")
    options = parser.parse_args()
    options.weights = options.weights or weights.find_shipped("gknet-s")
    torch.set_num_threads(options.threads)
    return options


def judge_sets(options: argparse.Namespace, judge: Callable[[Sample], Result]) -> dict[str, list[Result]]:
    """Judge the composites that `parse_options` selected, by set."""
    half: Half = "final" if options.final else "choosing"
    found = {}
    for name, samples in open_sets(read_validation(options.pool), options.light, half).items():
        chosen = (sample for sample in samples() if is_selected(sample.key, sample.kind, options.every))
        found[name] = [judge(sample) for sample in track(chosen, f"Judging {name}", total=None)]
        if not found[name]:
            raise PictureError(
                f"No composite of the set {name} was selected.", "Lower --every to evaluate more of them."
            )
    return found


def name_halves(options: argparse.Namespace) -> str:
    """Return a title that names the weights and the halves."""
    halves = "final" if options.final else "choosing"
    return f"{options.weights.name} {weights.compute_digest(options.weights)}, {halves} halves"


def _run(options: argparse.Namespace) -> None:
    network = BareNetwork(weights.load(options.weights))
    found = judge_sets(options, network.judge_sample)
    build_table(found, f"{name_halves(options)}, the network alone").show(Console(width=max(110, Console().width)))


def main() -> int:
    options = parse_options("python -m training.evaluation.four_sets", __doc__)
    return run_command("four_sets", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
