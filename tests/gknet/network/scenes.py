"""Small networks whose parts all do something, and pictures for them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gknet import GKNet, preset
from gknet.network import weights
from gknet.network.config import GKNetConfig

SMALL_PAPER = replace(preset("gknet"), width=8, correlation_groups=4, reference_heads=4)
SMALL = replace(preset("gknet-residual"), width=8, correlation_groups=4, reference_heads=4)


def scene(config: GKNetConfig, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Random pictures and masks with hard and soft parts, none of them zero everywhere."""
    generator = torch.Generator().manual_seed(1)
    height, width = 6 * config.multiple, 4 * config.multiple
    composite = torch.rand(batch, 3, height, width, generator=generator)
    mask = torch.zeros(batch, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 :] = 1
    mask[:, :, height // 2 : height // 2 + 3] = 0.5
    return composite, mask


def perturbed(config: GKNetConfig, spread: float = 0.05) -> GKNet:
    """A network whose every weight was moved a little, so that nothing is zero any more."""
    torch.manual_seed(0)
    net = weights.build(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return net
