"""Spatial-separated attention, the basic structure's block (the paper, section 3.1; Cun & Pun, TIP 2020)."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """One weight in (0, 1) a channel, from the feature's mean (squeeze and excitation).

    (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 8, 4)
        self.weigh = nn.Sequential(nn.Linear(channels, hidden), nn.ELU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, feature: Tensor) -> Tensor:
        weights: Tensor = self.weigh(feature.mean(dim=(2, 3)))  # (B, C)
        return feature * weights[:, :, None, None]


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ELU: (B, C_in, H, W) -> (B, C_out, H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(
            # No bias: batch norm's own would take its place.
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ELU(),
        )


class SpatialSeparatedAttention(nn.Module):
    """Separate channel attentions for background, foreground and their mix, joined by the mask.

    feature: (B, C, H, W).   mask: (B, 1, H, W) in [0, 1], 1 = foreground.   Returns (B, C, H, W):
    (1 - M) A_bg(F) + M (L(A_fg(F)) + A_mix(F)), L a learned convolution (Cun & Pun 2020, section 3.2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.background = ChannelAttention(channels)
        self.foreground = ChannelAttention(channels)
        self.mix = ChannelAttention(channels)
        self.learn = ConvBlock(channels, channels)

    def forward(self, feature: Tensor, mask: Tensor) -> Tensor:
        inside: Tensor = self.learn(self.foreground(feature)) + self.mix(feature)
        background: Tensor = self.background(feature)
        return background + mask * (inside - background)
