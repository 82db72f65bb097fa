"""Spatial-separated attention, the basic structure's block (the paper, section 3.1; Cun & Pun, TIP 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gknet.network.blocks import ConvBlock


class ChannelAttention(nn.Module):
    """Predict one weight in (0, 1) per channel from the feature's means (squeeze and excitation).

    (B, C), means over the picture -> (B, C, 1, 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 8, 4)
        self.weigh = nn.Sequential(nn.Linear(channels, hidden), nn.ELU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, means: Tensor) -> Tensor:
        weights: Tensor = self.weigh(means)
        return weights[:, :, None, None]


class SpatialSeparatedAttention(nn.Module):
    """Separate channel attentions for background, foreground and their mix, combined by the mask.

    feature: (B, C, H, W).   mask: (B, 1, H, W) in [0, 1], 1 = foreground.
    means: (B, C), the feature's means over the whole picture, if `feature` and `mask` are only a part of it.
    Returns (B, C, H, W): (1 - M) A_bg(F) + M (L(A_fg(F)) + A_mix(F)), with L a learned convolution
    (Cun & Pun 2020, section 3.2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.background = ChannelAttention(channels)
        self.foreground = ChannelAttention(channels)
        self.mix = ChannelAttention(channels)
        self.learn = ConvBlock(channels, channels)

    def forward(self, feature: Tensor, mask: Tensor, means: Tensor | None = None) -> Tensor:
        if means is None:
            means = feature.mean(dim=(2, 3))
        background, mix = self.background(means), self.mix(means)
        learned: Tensor = self.learn(feature * self.foreground(means))
        # A_bg(F) is added everywhere, so the foreground's term subtracts it.
        added = torch.addcmul(learned, feature, mix - background)
        return torch.addcmul(feature * background, mask, added)
