"""Size and arithmetic cost of a network."""

from __future__ import annotations

import torch

from gknet.network.model import GKNet

SIZE = 256


def count_parameters(net: GKNet) -> int:
    """Return the number of parameters, including those of the frozen recognition."""
    own = sum(parameter.numel() for parameter in net.parameters())
    return own + (0 if net.recognition is None else sum(buffer.numel() for buffer in net.recognition.buffers()))


def count_flops(net: GKNet, size: int = SIZE) -> int:
    """Return the floating-point operations for one picture of size x size; a multiply-add counts as two.

    `gknet.network.inference` needs as many for a picture that is all foreground, and fewer for others.
    Counts convolutions, matrix products and attention. As is customary, elementwise work is left out, including the
    modulation's 2 N² C H W per level.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports Triton: half a second

    picture, mask = torch.zeros(1, 3, size, size), torch.ones(1, 1, size, size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(picture, mask)
    return int(counter.get_total_flops())
