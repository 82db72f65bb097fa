"""Measure what each part of trained weights contributes: `python -m training.research.parts --pool FOLDER`.

Disables one part of the network at a time and evaluates the network alone on the validation split at 256 x 256, 8 bit.
Nothing is retrained: this shows what the weights rely on, not what training without the part would reach.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn

from gknet.errors import HarmonizeError
from gknet.network import weights
from gknet.network.kernel_prediction import KernelPrediction
from gknet.network.model import GKNet
from gknet.network.selective_correlation import SelectiveCorrelationFusion
from training.data.judging_sets.validation import make_validation_samples, read_validation
from training.data.sample import Sample
from training.evaluation.bare_network import BareNetwork, NetworkInput
from training.evaluation.metrics import Record

SELECTION_SAMPLES = 60
"""Number of composites whose mean channel weights replace the selection."""


def disable_modulation(net: GKNet, _: Sequence[Sample]) -> None:
    """Zero every predicted kernel, or use the unit impulse without a residual path, so that Eq. 6 has no effect."""

    assert net.kernels is not None
    for block in net.kernels.blocks:
        assert isinstance(block, KernelPrediction)
        assert block.kernels.bias is not None
        nn.init.zeros_(block.kernels.weight)
        nn.init.zeros_(block.kernels.bias)
        if not net.config.residual_modulation:
            taps = net.config.kernel_size**2
            nn.init.ones_(block.kernels.bias[taps // 2 :: taps])


def disable_reference(net: GKNet, _: Sequence[Sample]) -> None:
    """Bypass LRE: F_LR becomes the deepest encoder feature itself, as in the paper's ablation."""
    assert net.kernels is not None
    net.kernels.reference = nn.Identity()


def disable_selection(net: GKNet, samples: Sequence[Sample]) -> None:
    """Replace SCF's channel weights (Eq. 3) by their mean over the first composites."""
    blocks = [module for module in net.modules() if isinstance(module, SelectiveCorrelationFusion)]
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {block: [] for block in blocks}

    def record(block: nn.Module, features: tuple[Tensor, Tensor]) -> None:
        assert isinstance(block, SelectiveCorrelationFusion)
        seen[block].append(block.compute_channel_weights(*features[:2]))

    hooks = [block.register_forward_pre_hook(record) for block in blocks]
    for sample in samples[:SELECTION_SAMPLES]:
        shown = NetworkInput.from_composite(sample.composite, sample.mask, net.config.network_size)
        with torch.inference_mode():
            net(shown.picture, shown.mask)
    for block, hook in zip(blocks, hooks, strict=True):
        hook.remove()
        encoded, deeper = (torch.cat(one).mean(dim=0, keepdim=True) for one in zip(*seen[block], strict=True))
        fixed = (encoded, deeper)  # each (1, C)
        block.compute_channel_weights = lambda *_, fixed=fixed: fixed  # type: ignore[method-assign]


def disable_local_head(net: GKNet, _: Sequence[Sample]) -> None:
    """Remove the gain and bias per pixel: one colour matrix for the whole foreground."""
    _silence(net.head)


def disable_recognition(net: GKNet, _: Sequence[Sample]) -> None:
    """Remove the recognition head's correction, including the colours of near and similar regions."""
    if net.recognition_head is not None:
        _silence(net.recognition_head.matrix)


def keep_statistics_path(net: GKNet, samples: Sequence[Sample]) -> None:
    """Keep only the colour statistics' path, without any convolution."""
    disable_local_head(net, samples)
    disable_recognition(net, samples)
    if net.global_head is not None:
        _silence(net.global_head.regions)


def _silence(layer: nn.Module) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()


CUTS: dict[str, Callable[[GKNet, Sequence[Sample]], None] | None] = {
    "whole network": None,
    "without kernel modulation": disable_modulation,
    "without LRE": disable_reference,
    "without SCF's selection": disable_selection,
    "without recognition": disable_recognition,
    "without the local gain and bias": disable_local_head,
    "its statistics' path alone": keep_statistics_path,
}


def judge_samples(net: GKNet, samples: Sequence[Sample], seen: Callable[[], None]) -> list[Record]:
    """Return the records of the network alone; `seen` is called after each."""
    network = BareNetwork(net)
    records = []
    for sample in samples:
        records.append(network.judge_sample(sample))
        seen()
    return records


def build_table(rows: dict[str, list[Record]]) -> Table:
    """Return a row per variant: means over pictures, and the paired difference of fMSE to the first row."""
    shown = Table(title="256 x 256, 8-bit levels, the network alone")
    shown.add_column("variant")
    for heading in ("pictures", "fMSE", "change of fMSE", "PSNR dB", "fMSE more than whole"):
        shown.add_column(heading, justify="right")
    whole = np.array([record.after.fmse for record in next(iter(rows.values()))])
    for name, records in rows.items():
        before = np.mean([record.before.fmse for record in records])
        fmse = np.array([record.after.fmse for record in records])
        psnr = np.mean([record.after.psnr for record in records])
        more = fmse - whole
        error = more.std() / len(more) ** 0.5
        shown.add_row(
            name,
            str(len(records)),
            f"{fmse.mean():.1f}",
            f"{100 * (fmse.mean() / before - 1):+.1f} %",
            f"{psnr:.2f}",
            f"{more.mean():+.1f} ± {error:.1f}",
        )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.research.parts", description=__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="other weight files; each adds a row")
    parser.add_argument("--every", type=int, default=1, help="evaluate only every N-th photograph's composites")
    options = parser.parse_args()
    try:
        path = options.weights or weights.find_shipped("gknet-s")
        nets = {name: weights.load(path) for name in CUTS} | {str(file): weights.load(file) for file in options.beside}
        photographs = read_validation(options.pool)
    except (HarmonizeError, OSError) as error:
        print(f"parts: {error}", file=sys.stderr)
        return 2
    samples = list(make_validation_samples(photographs, every=options.every))
    rows = {}
    with Progress() as progress:
        for name, net in nets.items():
            task = progress.add_task(name, total=len(samples))
            if cut := CUTS.get(name):
                cut(net, samples)
            rows[name] = judge_samples(net, samples, lambda task=task: progress.advance(task))  # type: ignore[misc]
    Console(width=max(110, Console().width)).print(build_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
