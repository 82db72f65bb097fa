"""Kernel Prediction Blocks, KPB (the paper, section 3.2, Eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gknet.network.blocks import ConvBlock
from gknet.network.selective_correlation import ConcatenationFusion, SelectiveCorrelationFusion
from gknet.network.window import Window


class KernelPrediction(nn.Module):
    """One block: F_KPB^l of KPBlock(F_E^l, F_KPB^(l-1)); `kernels` is the convolution that makes K^l of it.

    encoded: (B, C, H, W).   deeper: (B, C_deeper, H', W').   window: where it is asked for, a part of the picture.
    Returns F_KPB (B, C, H, W), or the window's part of it. The kernels themselves,
    (B, C*N*N, H, W), are left to `gknet.network.modulation`, which can do without them in memory.
    """

    def __init__(self, fusion: nn.Module, channels: int, kernel_size: int, residual: bool) -> None:
        super().__init__()
        self.fuse = fusion
        self.block = ConvBlock(channels, channels)
        self.kernels = nn.Conv2d(channels, channels * kernel_size**2, 1)
        self._start_near_identity(kernel_size, residual)

    def _start_near_identity(self, kernel_size: int, residual: bool) -> None:
        """Kernels that change (almost) nothing: near zero beside a residual path, else near a unit impulse."""
        nn.init.normal_(self.kernels.weight, std=1e-3)
        bias = torch.zeros(self.kernels.out_channels)
        if not residual:
            bias.view(-1, kernel_size**2)[:, kernel_size**2 // 2] = 1.0
        with torch.no_grad():
            assert self.kernels.bias is not None
            self.kernels.bias.copy_(bias)

    def forward(self, encoded: Tensor, deeper: Tensor, window: Window | None = None) -> Tensor:
        feature: Tensor = self.block(self.fuse(encoded, deeper, window))
        return feature


def fusion(channels: int, deeper_channels: int, *, selective: bool, groups: int) -> nn.Module:
    """The block's way of joining two levels: SCF, or concatenation where it is ablated."""
    if selective:
        return SelectiveCorrelationFusion(channels, deeper_channels, groups)
    return ConcatenationFusion(channels, deeper_channels)
