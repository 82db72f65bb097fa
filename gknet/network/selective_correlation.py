"""Fusion of an encoder feature with the kernel-prediction feature of the level below (section 3.2, Eq. 2-4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network.blocks import upsample_like

ChannelWeights = tuple[Tensor, Tensor]
"""S_E and S_KPB of Eq. 3, each (B, C) in (0, 1)."""


class ChannelDescriptor(nn.Module):
    """alpha of Eq. 2: a 3x3 convolution, the mean over the picture, an MLP.

    (B, C_in, H, W) -> (B, C_out).   The mean of a convolution is a convolution of nine means, one per tap, over the
    pixels that this tap reads. This gives the same numbers except for rounding, without the cost of the convolution.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.perceptron = nn.Sequential(
            nn.ELU(), nn.Linear(channels_out, channels_out), nn.ELU(), nn.Linear(channels_out, channels_out)
        )

    def forward(self, feature: Tensor) -> Tensor:
        assert self.conv.bias is not None
        means = F.linear(_average_taps(feature), self.conv.weight.flatten(1), self.conv.bias)
        descriptor: Tensor = self.perceptron(means)
        return descriptor


def _average_taps(feature: Tensor) -> Tensor:
    """Return (B, C*9): the mean of the pixels of (B, C, H, W) that each tap of a padded 3x3 convolution reads, row by
    row.
    """
    exact = torch.promote_types(feature.dtype, torch.float32)
    rows = feature.sum(dim=3, dtype=exact)  # (B, C, H)
    # The left taps never read the last column, nor the right ones the first; likewise for rows.
    across = torch.stack((rows - feature[..., -1], rows, rows - feature[..., 0]), dim=3)  # (B, C, H, 3)
    total = across.sum(dim=2)  # (B, C, 3)
    sums = torch.stack((total - across[:, :, -1], total, total - across[:, :, 0]), dim=2)  # (B, C, 3, 3)
    return sums.flatten(1) / (feature.shape[2] * feature.shape[3])


class SelectiveCorrelationFusion(nn.Module):
    """SCF: weight both features channel by channel, by the correlation of their channels, and add them.

    encoded: (B, C, H, W), F_E of this level.   deeper: (B, C_deeper, H', W'), F_KPB of the level below (or F_LR).
    weights: those of the whole picture, if `encoded` and `deeper` are only a part of it.
    Returns (B, C, H, W), Eq. 4: S_E Conv(F_E) + Upsample(S_KPB Conv(F_KPB)).
    """

    def __init__(self, channels: int, deeper_channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.describe_encoded = ChannelDescriptor(channels, channels)
        self.describe_deeper = ChannelDescriptor(deeper_channels, channels)
        # "N x N convolutions with splitting": a kernel as large as A is a linear map of its n*n entries.
        self.correlate = nn.Linear(groups * groups, 2 * channels)
        self.refine_encoded = nn.Linear(channels, channels)
        self.refine_deeper = nn.Linear(channels, channels)
        self.balance = nn.Parameter(torch.tensor(0.1))  # b of Eq. 3
        self.convert_encoded = nn.Conv2d(channels, channels, 1)
        self.convert_deeper = nn.Conv2d(deeper_channels, channels, 1)

    def compute_channel_weights(self, encoded: Tensor, deeper: Tensor) -> ChannelWeights:
        """Return S_E and S_KPB, each (B, C) in (0, 1). Both features must cover the whole picture."""
        alpha_encoded = self.describe_encoded(encoded)  # (B, C)
        alpha_deeper = self.describe_deeper(deeper)  # (B, C)
        batch = alpha_encoded.shape[0]
        grouped_encoded = alpha_encoded.view(batch, self.groups, -1)  # (B, n, m)
        grouped_deeper = alpha_deeper.view(batch, self.groups, -1)  # (B, n, m)
        correlation = grouped_deeper @ grouped_encoded.transpose(1, 2)  # A, Eq. 2: (B, n, n)
        mixed = self.correlate(correlation.flatten(1))  # (B, 2*C)
        mixed_deeper, mixed_encoded = mixed.chunk(2, dim=1)  # each (B, C)
        weight_encoded = torch.sigmoid(alpha_encoded + self.balance * self.refine_encoded(mixed_encoded))
        weight_deeper = torch.sigmoid(alpha_deeper + self.balance * self.refine_deeper(mixed_deeper))
        return weight_encoded, weight_deeper

    def forward(self, encoded: Tensor, deeper: Tensor, weights: ChannelWeights | None = None) -> Tensor:
        weight_encoded, weight_deeper = weights or self.compute_channel_weights(encoded, deeper)
        kept_encoded = weight_encoded[:, :, None, None] * self.convert_encoded(encoded)  # (B, C, H, W)
        kept_deeper = weight_deeper[:, :, None, None] * self.convert_deeper(deeper)  # (B, C, H', W')
        fused: Tensor = kept_encoded + upsample_like(kept_deeper, encoded)
        return fused


class ConcatenationFusion(nn.Module):
    """Replacement of SCF for the ablation (Table 4): concatenation and a 1x1 convolution.

    Arguments and result as in SelectiveCorrelationFusion.
    """

    def __init__(self, channels: int, deeper_channels: int) -> None:
        super().__init__()
        self.convert = nn.Conv2d(channels + deeper_channels, channels, 1)

    def forward(self, encoded: Tensor, deeper: Tensor) -> Tensor:
        fused: Tensor = self.convert(torch.cat([encoded, upsample_like(deeper, encoded)], dim=1))
        return fused
