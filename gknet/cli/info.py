"""The table of `gknet info`."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from gknet.errors import WeightsError
from gknet.network import weights
from gknet.network.complexity import SIZE, count_flops, count_parameters
from gknet.network.config import PRESETS, preset
from gknet.network.device import choose_device
from gknet.network.model import GKNet


def describe_networks(model: str | None, device: str) -> Table:
    """Return a table of networks: parameters, arithmetic at 256 x 256, device and weights.

    model: a preset, or any argument of `gknet.network.weights.find`; None for all presets.
    Raises WeightsError or InputError for an unknown model or an unavailable device.
    """
    chosen = choose_device(device)
    table = Table()
    for heading in ("model", "parameters", f"FLOPs\nat {SIZE}²", "device", "weights"):
        table.add_column(heading, overflow="fold")
    for name in PRESETS if model is None else [model]:
        net, path = _load_network(name)
        count = f"{count_parameters(net) / 1e6:.2f} M"
        if net.recognition is not None:
            count += f",\n{sum(buffer.numel() for buffer in net.recognition.buffers()) / 1e6:.2f} M frozen"
        size = "none yet" if path is None else f"{path.name}\n{path.stat().st_size / 1e6:.1f} MB"
        table.add_row(name, count, f"{count_flops(net) / 1e9:.2f} G", str(chosen), size)
    return table


def _load_network(name: str) -> tuple[GKNet, Path | None]:
    """Return a network and the file of its weights; an untrained one and None for a preset without weights."""
    try:
        path = weights.find(name)
    except WeightsError:
        if name in PRESETS:
            return weights.build(preset(name)).eval(), None
        raise
    return weights.load(path), path
