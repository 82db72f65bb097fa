"""What `gknet info` says."""

from __future__ import annotations

from rich.table import Table

from gknet.errors import InputError, WeightsError
from gknet.network import weights
from gknet.network.complexity import SIZE, flops, parameters
from gknet.network.config import PRESETS, preset
from gknet.network.device import choose_device


def describe(model: str | None, device: str) -> Table:
    """A table of the presets: parameters, arithmetic at 256 x 256, device and weights.

    Raises InputError for a preset or a device that is not there.
    """
    if model is not None and model not in PRESETS:
        raise InputError(f"There is no model {model!r}.", f"Choose one of: {', '.join(PRESETS)}.")
    chosen = choose_device(device)
    shown = Table()
    for heading in ("model", "parameters", f"FLOPs\nat {SIZE}²", "device", "weights"):
        shown.add_column(heading, overflow="fold")
    for name in [model] if model else PRESETS:
        net = weights.build(preset(name)).eval()
        count = f"{parameters(net) / 1e6:.2f} M"
        if net.recognition is not None:
            count += f",\n{sum(buffer.numel() for buffer in net.recognition.buffers()) / 1e6:.2f} M frozen"
        shown.add_row(name, count, f"{flops(net) / 1e9:.2f} G", str(chosen), _weights(name))
    return shown


def _weights(name: str) -> str:
    try:
        path = weights.shipped(name)
    except WeightsError:
        return "none yet"
    weights.load(path)
    return f"{path.name}\n{path.stat().st_size / 1e6:.1f} MB"
