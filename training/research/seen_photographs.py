"""Measure whether more photographs would help: `python -m training.research.seen_photographs --pool SHARDS`.

Evaluates weights on training photographs from the first shard and on as many held-out ones. Both are recoloured in the
same six ways at 256 x 256 with new draws, so no composite was seen in training. The difference between both groups is
overfitting to photographs. More photographs from the same sources can gain at most about that much.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from gknet.errors import InputError
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from training.data.judging_sets.validation import make_validation_samples, read_validation
from training.data.sample import MASK_SHARE, SIZE
from training.data.shards import Photographs, find_shards, read_photographs
from training.data.synthesis.recoloring import KINDS
from training.evaluation.cases import evaluate_samples
from training.evaluation.command import defer_interrupts, run_command
from training.evaluation.metrics import Record
from training.evaluation.score_tables import ScoreTable, in_markdown

PHOTOGRAPHS = 300
DRAWS = 4000
RANGE = (5, 95)
"""Percentiles of the draws to report."""


def select_evenly(photographs: Photographs, count: int) -> Photographs:
    """Return `count` of the photographs, evenly spaced by key, each with its first mask."""
    kept = np.linspace(0, len(photographs.keys) - 1, count).round().astype(int)
    masks_of = photographs.masks_of
    first = [int(masks_of[index][0]) for index in kept]
    return Photographs(
        pictures=photographs.pictures[kept],
        masks=photographs.masks[first],
        owner=np.arange(count),
        keys=[photographs.keys[index] for index in kept],
    )


def resample_shares(records: Sequence[Record], generator: np.random.Generator) -> np.ndarray:
    """Return the remaining share of fMSE, (DRAWS,), for resampled photographs; composites of a photograph stay
    together.
    """
    sums: dict[str, np.ndarray] = {}
    for record in records:
        sums[record.key] = sums.get(record.key, np.zeros(2)) + np.array([record.before.fmse, record.after.fmse])
    found = np.array(list(sums.values()))  # (n, 2)
    chosen = found[generator.integers(len(found), size=(DRAWS, len(found)))].sum(axis=1)  # (DRAWS, 2)
    shares: np.ndarray = chosen[:, 1] / chosen[:, 0]
    return shares


def build_table(seen: Sequence[Record], unseen: Sequence[Record], of: str) -> ScoreTable:
    """Return a row per group and their difference. of: names the results."""
    generator = np.random.default_rng(0)
    rows, draws, shares = [], [], []
    for name, records in (("trained on", seen), ("never trained on", unseen)):
        before = float(np.mean([record.before.fmse for record in records]))
        after = float(np.mean([record.after.fmse for record in records]))
        draws.append(resample_shares(records, generator))
        shares.append(after / before)
        rows.append(
            [name, str(len(records)), f"{before:.1f} → {after:.1f}", f"{after / before:.3f}", _format_range(draws[-1])]
        )
    apart = ["apart", "", "", f"{shares[1] - shares[0]:+.3f}", _format_range(draws[1] - draws[0])]
    return ScoreTable(
        title=f"Photographs that were trained on beside others: {of}",
        headings=["photographs", "composites", "fMSE", "share left", f"{RANGE[0]} to {RANGE[1]} %"],
        sections=[rows, [apart]],
        notes=[f"Range: of {DRAWS} draws of as many photographs from those there are."],
    )


def _format_range(values: np.ndarray) -> str:
    low, high = np.percentile(values, RANGE)
    return f"{low:.3f} to {high:.3f}"


def _run(options: argparse.Namespace) -> None:
    path = options.weights or weights.find_shipped("gknet-s")
    with defer_interrupts():
        harmonizer = Harmonizer(weights.load(path), "cpu")
    shards = find_shards([options.pool])
    unseen = read_validation(options.pool)
    # Shards are shuffled: the first one suffices, and the whole pool would take gigabytes at this size.
    seen = read_photographs(shards[:1], SIZE, validation=False, mask_share=MASK_SHARE)
    count = min(options.photographs, len(seen.keys), len(unseen.keys))
    console = Console(stderr=True)
    results = []
    for photographs, title in ((seen, "Photographs trained on"), (unseen, "Photographs never trained on")):
        samples = make_validation_samples(select_evenly(photographs, count))
        shown = track(samples, title, count * len(KINDS), console=console, disable=not console.is_terminal)
        results.append(evaluate_samples(harmonizer, shown))
    if not all(results):
        raise InputError("No usable composite could be made.", "Check the photographs and their masks.")
    print(in_markdown(build_table(results[0], results[1], f"{path.name} {weights.compute_digest(path)}")))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.research.seen_photographs", description=__doc__)
    parser.add_argument("--pool", metavar="DIR", type=Path, required=True, help="folder of shards")
    parser.add_argument(
        "--photographs",
        metavar="N",
        type=int,
        default=PHOTOGRAPHS,
        help="largest number of photographs from either group",
    )
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    options = parser.parse_args()
    if options.photographs < 1:
        parser.error("--photographs must be at least 1")
    return options


def main() -> int:
    options = _parse_arguments()
    return run_command("seen_photographs", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
