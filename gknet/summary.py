"""What `gknet info` says."""

from __future__ import annotations

import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from gknet import weights
from gknet.config import PRESETS, preset
from gknet.device import choose_device
from gknet.errors import BadRequest, WeightsError
from gknet.model import GKNet

SIZE = 256


def describe(model: str | None, device: str) -> Table:
    """A table of the presets: parameters, arithmetic at 256 x 256, device and weights.

    Raises BadRequest for a preset or a device that is not there.
    """
    if model is not None and model not in PRESETS:
        raise BadRequest(f"There is no model {model!r}.", f"Choose one of: {', '.join(PRESETS)}.")
    chosen = choose_device(device)
    shown = Table()
    for heading in ("model", "parameters", f"FLOPs at {SIZE}²", "device", "weights"):
        shown.add_column(heading, overflow="fold")
    for name in [model] if model else PRESETS:
        net = GKNet(preset(name)).eval()
        count = f"{parameters(net) / 1e6:.2f} M"
        if net.recognition is not None:
            count += f", {sum(buffer.numel() for buffer in net.recognition.buffers()) / 1e6:.2f} M of them frozen"
        shown.add_row(name, count, f"{flops(net) / 1e9:.2f} G", str(chosen), _weights(name))
    return shown


def parameters(net: GKNet) -> int:
    """Numbers that the network has learned, those of the frozen recognition among them."""
    own = sum(parameter.numel() for parameter in net.parameters())
    return own + (0 if net.recognition is None else sum(buffer.numel() for buffer in net.recognition.buffers()))


def flops(net: GKNet, size: int = SIZE) -> int:
    """Floating-point operations of one picture of size x size: a multiplication and an addition count as two.

    Of one that is foreground everywhere, which is the most; the last level is worked out around the foreground alone.
    Counts convolutions, matrix products and attention; element by element work, the modulation's
    2 N² C H W a level included, is left out, as is the custom.
    """
    picture, mask = torch.zeros(1, 3, size, size), torch.ones(1, 1, size, size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(picture, mask)
    return int(counter.get_total_flops())


def _weights(name: str) -> str:
    try:
        path = weights.shipped(name)
    except WeightsError:
        return "none yet"
    weights.load(path)
    return f"{path.name}, {path.stat().st_size / 1e6:.1f} MB"
