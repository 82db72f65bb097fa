"""Building blocks shared by the network's modules."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ELU: (B, C_in, H, W) -> (B, C_out, H/stride, W/stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(
            # No bias: batch norm has its own.
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ELU(inplace=True),
        )


def upsample_like(feature: Tensor, target: Tensor) -> Tensor:
    """Resize a feature to the target's height and width, bilinear; return it unchanged if they already match."""
    if feature.shape[2:] == target.shape[2:]:
        return feature
    return F.interpolate(feature, size=target.shape[2:], mode="bilinear", align_corners=False)
