"""How good weights are: `python -m training.evaluate --pool FOLDER`, or `--iharmony4 FOLDER` for its test lists.

Harmonizes every composite at 256 x 256 through the same way users' pictures go, and prints the paper's metrics
(section 4.1) on the 8-bit results: a row for each kind of composite, or for each of iHarmony4's sub-sets.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gknet import weights
from gknet.errors import HarmonizeError
from gknet.harmonizer import Harmonizer, choose_device
from training import iharmony4
from training.metrics import Scores, score
from training.shards import find_shards, read_photographs
from training.synthesis import KINDS
from training.validation import MASK_SHARE, SIZE, Sample, validation_samples

Pair = tuple[Scores, Scores]
"""Scores of the untouched composite and of the harmonized one."""


def evaluate(harmonizer: Harmonizer, samples: Iterable[Sample]) -> dict[str, list[Pair]]:
    """The scores of every sample, by kind."""
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for sample in samples:
        mask = sample.mask
        harmonized = harmonizer(sample.composite, mask, network_size=SIZE)
        pair = (score(sample.composite, sample.real, mask), score(harmonized, sample.real, mask))
        by_kind[sample.kind].append(pair)
    return dict(by_kind)


def table(by_kind: dict[str, list[Pair]]) -> Table:
    """One row a kind and one for all, means over pictures; each cell is untouched -> harmonized."""
    shown = Table(title="256 x 256, 8-bit levels: untouched → harmonized")
    shown.add_column("kind")
    for heading in ("pictures", "MSE", "PSNR dB", "fMSE", "fMSE change", "PSNR change"):
        shown.add_column(heading, justify="right")
    everything = [pair for pairs in by_kind.values() for pair in pairs]
    for kind, pairs in [*by_kind.items(), ("all", everything)]:
        if kind == "all":
            shown.add_section()
        before, after = np.array(pairs).mean(axis=0)  # each (3,): MSE, PSNR, fMSE
        shown.add_row(
            kind,
            str(len(pairs)),
            f"{before[0]:.1f} → {after[0]:.1f}",
            f"{before[1]:.2f} → {after[1]:.2f}",
            f"{before[2]:.1f} → {after[2]:.1f}",
            f"{100 * (after[2] / before[2] - 1):+.1f} %",
            f"{after[1] - before[1]:+.2f}",
        )
    return shown


def pool_samples(folder: Path) -> tuple[int, Iterator[Sample]]:
    """At most how many, and the composites of the validation split of a folder of shards."""
    photographs = read_photographs(find_shards([folder]), SIZE, validation=True, mask_share=MASK_SHARE)
    return len(photographs.keys) * len(KINDS), validation_samples(photographs)


def iharmony4_samples(folder: Path) -> tuple[int, Iterator[Sample]]:
    """How many, and the composites of iHarmony4's test lists."""
    chosen = iharmony4.triplets(folder, "test")
    return len(chosen), iharmony4.samples(chosen)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--pool", type=Path, help="folder of shards; its validation split is judged")
    source.add_argument("--iharmony4", type=Path, help="iHarmony4's folder; its test lists are judged")
    parser.add_argument("--model", default="gknet-s", help="preset whose shipped weights to evaluate")
    parser.add_argument("--weights", type=Path, help="another weight file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    options = parser.parse_args()
    console = Console(width=max(110, Console().width))
    try:
        path = options.weights or weights.shipped(options.model)
        harmonizer = Harmonizer(weights.load(path), choose_device(options.device))
        count, samples = pool_samples(options.pool) if options.pool else iharmony4_samples(options.iharmony4)
        shown = track(samples, f"Harmonizing with {path.name}", count, console=console)
        console.print(table(evaluate(harmonizer, shown)))
    except (HarmonizeError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
