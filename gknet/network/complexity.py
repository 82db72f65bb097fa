"""How large a network is and how much arithmetic it takes."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from gknet.network.model import GKNet

SIZE = 256


def parameters(net: GKNet) -> int:
    """Numbers that the network has learned, those of the frozen recognition among them."""
    own = sum(parameter.numel() for parameter in net.parameters())
    return own + (0 if net.recognition is None else sum(buffer.numel() for buffer in net.recognition.buffers()))


def flops(net: GKNet, size: int = SIZE) -> int:
    """Floating-point operations of one picture of size x size: a multiplication and an addition count as two.

    `gknet.network.inference` needs as many for a picture that is foreground everywhere, and fewer for others.
    Counts convolutions, matrix products and attention; element by element work, the modulation's
    2 N² C H W a level included, is left out, as is the custom.
    """
    picture, mask = torch.zeros(1, 3, size, size), torch.ones(1, 1, size, size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(picture, mask)
    return int(counter.get_total_flops())
