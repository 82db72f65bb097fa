"""How good weights are: `python -m training.evaluate --pool FOLDER`.

Harmonizes every composite of the fixed validation set through the same way users' pictures go, and prints the
paper's metrics (section 4.1) on the 8-bit results, a row for each kind of composite.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gknet import weights
from gknet.errors import HarmonizeError
from gknet.harmonizer import Harmonizer, choose_device
from training.metrics import Scores, score
from training.shards import find_shards, read_photographs
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
    shown = Table(title="Validation split, 256 x 256, 8-bit levels (untouched → harmonized)")
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="folder of the pool's shards")
    parser.add_argument("--model", default="gknet-s", help="preset whose shipped weights to evaluate")
    parser.add_argument("--weights", type=Path, help="another weight file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    options = parser.parse_args()
    try:
        path = options.weights or weights.shipped(options.model)
        harmonizer = Harmonizer(weights.load(path), choose_device(options.device))
        photographs = read_photographs(find_shards([options.pool]), SIZE, validation=True, mask_share=MASK_SHARE)
    except (HarmonizeError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    torch.set_grad_enabled(False)
    console = Console(width=max(110, Console().width))
    print(f"{path}, {len(photographs.keys)} photographs never trained on")
    samples = list(validation_samples(photographs))
    console.print(table(evaluate(harmonizer, track(samples, description="Harmonizing", console=console))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
