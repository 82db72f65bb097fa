"""Kernel Prediction Blocks, KPB (the paper, section 3.2, Eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gknet.network.blocks import ConvBlock
from gknet.network.selective_correlation import ChannelWeights, ConcatenationFusion, SelectiveCorrelationFusion


class KernelPrediction(nn.Module):
    """One block, Eq. 1: K^l, F_KPB^l = KPBlock(F_E^l, F_KPB^(l-1)), where K^l = Conv(F_KPB^l).

    encoded: (B, C, H, W), F_E^l.   deeper: (B, C_deeper, H', W'), F_KPB^(l-1), or F_LR at the deepest level.
    weights: SCF's weights of the whole picture, if `encoded` and `deeper` are only a part of it.
    Returns K^l (B, C*N*N, H, W), ordered as in `gknet.network.modulation`, and F_KPB^l (B, C, H, W).
    """

    def __init__(self, fusion: nn.Module, channels: int, kernel_size: int, residual: bool) -> None:
        super().__init__()
        self.fuse = fusion
        self.block = ConvBlock(channels, channels)
        self.kernels = nn.Conv2d(channels, channels * kernel_size**2, 1)
        self._start_near_identity(kernel_size, residual)

    def _start_near_identity(self, kernel_size: int, residual: bool) -> None:
        """Initialize kernels that change almost nothing: near zero with a residual path, else near a unit impulse."""
        if not self.kernels.weight.is_meta:  # without values, this would only import torch's compiler, for seconds
            nn.init.normal_(self.kernels.weight, std=1e-3)
        bias = torch.zeros(self.kernels.out_channels)
        if not residual:
            bias.view(-1, kernel_size**2)[:, kernel_size**2 // 2] = 1.0
        with torch.no_grad():
            assert self.kernels.bias is not None
            self.kernels.bias.copy_(bias)

    def forward(self, encoded: Tensor, deeper: Tensor, weights: ChannelWeights | None = None) -> tuple[Tensor, Tensor]:
        feature = self.compute_feature(encoded, deeper, weights)
        return self.kernels(feature), feature

    def compute_feature(self, encoded: Tensor, deeper: Tensor, weights: ChannelWeights | None = None) -> Tensor:
        """Return F_KPB^l alone, for a modulation that computes K^l in pieces. Arguments as in `forward`."""
        fused = self.fuse(encoded, deeper) if weights is None else self.fuse(encoded, deeper, weights)
        feature: Tensor = self.block(fused)
        return feature


def make_fusion(channels: int, deeper_channels: int, *, selective: bool, groups: int) -> nn.Module:
    """Return the module that fuses two levels: SCF, or concatenation if SCF is ablated."""
    if selective:
        return SelectiveCorrelationFusion(channels, deeper_channels, groups)
    return ConcatenationFusion(channels, deeper_channels)
