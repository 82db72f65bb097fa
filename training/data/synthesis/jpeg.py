"""Simulate JPEG compression for whole batches on any device, without files (ITU-T T.81, tables of Annex K)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Table K.1: luminance quantization at quality 50."""
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * _BLOCK,) * 4,
)
"""Table K.2: chrominance quantization at quality 50."""
_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""YCbCr from RGB (JFIF)."""


def compress_pictures(pictures: Tensor, quality: Tensor) -> Tensor:
    """Compress pictures as JPEG with 4:2:0 chroma subsampling; omits only the rounding to 8 bits.

    pictures: (B, 3, H, W) in [0, 1].
    quality: (B,), libjpeg's, 1..100.
    Returns (B, 3, H, W) in [0, 1].
    """
    height, width = pictures.shape[2:]
    padding = [-side % (2 * _BLOCK) for side in (width, height)]
    padded = F.pad(pictures, (0, padding[0], 0, padding[1]), mode="replicate")
    to = padded.new_tensor(_YCBCR)
    planes = torch.einsum("ij,bjhw->bihw", to, 255 * padded)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None, None]  # libjpeg's
    luminance = _quantize(planes[:, :1] - 128, scale, _LUMINANCE) + 128
    chrominance = F.interpolate(
        _quantize(F.avg_pool2d(planes[:, 1:], 2), scale, _CHROMINANCE), scale_factor=2, mode="bilinear"
    )
    found = torch.einsum("ij,bjhw->bihw", to.inverse(), torch.cat([luminance, chrominance], dim=1))
    return (found / 255).clamp(0, 1)[:, :, :height, :width]


def _quantize(planes: Tensor, scale: Tensor, table: tuple[tuple[int, ...], ...]) -> Tensor:
    """Quantize the DCT coefficients of planes (B, C, H, W) by the table, scaled by (B, 1, 1)."""
    batch, count, height, width = planes.shape
    steps = (planes.new_tensor(table) * scale).round().clamp(1, 255)[:, None, None, None]
    waves = _make_cosines(planes)
    blocks = planes.view(batch, count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(3, 4)
    coefficients = (waves @ blocks @ waves.T / steps).round() * steps
    return (waves.T @ coefficients @ waves).transpose(3, 4).reshape(planes.shape)


def _make_cosines(like: Tensor) -> Tensor:
    """Return the orthonormal DCT basis, (8, 8), one cosine per row."""
    place = torch.arange(_BLOCK, dtype=like.dtype, device=like.device)
    waves = torch.cos((2 * place + 1) * place[:, None] * math.pi / (2 * _BLOCK)) / 2
    waves[0] /= math.sqrt(2)
    return waves
