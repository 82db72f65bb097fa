"""Measure the shrinkage of small changes: `python -m training.research.restraint --pool FOLDER`.

The network changes objects with correct colours only slightly, and others rarely so little. `GKNetConfig.restraint`
shrinks small changes. This measures its cost on the validation split's composites and its benefit on the unmodified
photographs with their own masks. Evaluates the network alone at 256 x 256, 8 bit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from gknet.network import weights
from gknet.network.extensions.restraint import restrain_change
from gknet.network.inference import InferenceNetwork
from gknet.network.model import GKNet
from training.data.judging_sets.validation import open_pool
from training.data.sample import Sample
from training.evaluation.bare_network import NetworkInput
from training.evaluation.command import run_command
from training.evaluation.metrics import TOLERANCE, Record, make_record
from training.evaluation.score_tables import ScoreTable
from training.research.steadiness import Agreement, measure_agreement

LEVELS = (0, 12, 14, 16, 18, 20, 24, 28)
"""Restraints to try, in 8-bit levels."""


class RestraintResult(NamedTuple):
    """Results with one restraint, on composites and on unmodified photographs."""

    composites: list[Record]
    photographs: list[Agreement]


class UnrestrainedNetwork:
    """A network without restraint, whose change can be scaled afterwards."""

    def __init__(self, net: GKNet) -> None:
        whole = weights.build(replace(net.config, restraint=0.0))
        whole.load_state_dict(net.state_dict())
        self.net = InferenceNetwork(whole)

    @torch.inference_mode()
    def compute_change(self, composite: np.ndarray, mask: np.ndarray) -> tuple[NetworkInput, Tensor]:
        """Return the network's input for (H, W, 3) uint8 and (H, W) bool, and its change (1, 3, h, w)."""
        shown = NetworkInput.from_composite(composite, mask, self.net.config.network_size)
        return shown, self.net(shown.picture, shown.mask) - shown.picture


def apply_restraint(shown: NetworkInput, change: Tensor, levels: float) -> np.ndarray:
    """Return the picture (H, W, 3) uint8 with the change shrunk by a restraint."""
    return shown.apply_change(restrain_change(change, shown.picture, shown.mask, levels / 255))


def measure_restraints(network: UnrestrainedNetwork, samples: Iterable[Sample]) -> dict[int, RestraintResult]:
    """Return the results of every restraint in `LEVELS`."""
    found = {levels: RestraintResult([], []) for levels in LEVELS}
    seen: set[str] = set()
    for sample in samples:
        parts = network.compute_change(sample.composite, sample.mask)
        for levels, tried in found.items():
            tried.composites.append(make_record(sample, apply_restraint(*parts, levels)))
        if sample.key in seen:
            continue
        seen.add(sample.key)
        parts = network.compute_change(sample.real, sample.mask)
        for levels, tried in found.items():
            tried.photographs.append(measure_agreement(sample.real, apply_restraint(*parts, levels), sample.mask))
    return found


def build_table(found: dict[int, RestraintResult], name: str) -> ScoreTable:
    """Return a row per restraint."""
    return ScoreTable(
        title=f"How much of a small change is made: {name}, 256 x 256, 8 bit",
        headings=["restraint", "fMSE", "change", "PSNR dB", "gain dB", "not worse", "levels", "above 32 dB"],
        sections=[[[f"{levels}", *_format_figures(tried)] for levels, tried in found.items()]],
        notes=[
            "restraint: levels of 255; half is made of a change of a white object that has this root mean square.",
            f"not worse: composites that get better, or worse by less than {TOLERANCE} dB.",
            "levels, above 32 dB: how much real photographs' objects change in the mean, and how many stay so near.",
        ],
    )


def _format_figures(tried: RestraintResult) -> Iterator[str]:
    before, after = (np.array([getattr(record, when) for record in tried.composites]) for when in ("before", "after"))
    yield f"{after[:, 2].mean():.1f}"
    yield f"{100 * (after[:, 2].mean() / before[:, 2].mean() - 1):+.1f} %"
    yield f"{after[:, 1].mean():.2f}"
    yield f"{after[:, 1].mean() - before[:, 1].mean():+.2f}"
    yield f"{100 * np.mean([record.is_not_worse for record in tried.composites]):.1f} %"
    levels, psnr = (np.array(values) for values in zip(*tried.photographs, strict=True))
    yield f"{levels.mean():.2f}"
    yield f"{100 * (psnr > 32).mean():.1f} %"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.research.restraint", description=__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    options = parser.parse_args()
    return run_command("restraint", lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    path = options.weights or weights.find_shipped("gknet-s")
    network = UnrestrainedNetwork(weights.load(path))
    count, samples = open_pool(options.pool)
    found = measure_restraints(network, track(samples, "Trying restraints", count))
    build_table(found, f"{path.name} {weights.compute_digest(path)}").show(Console(width=max(110, Console().width)))


if __name__ == "__main__":
    sys.exit(main())
