"""Color space conversions as differentiable tensor functions.

sRGB is IEC 61966-2-1; Lab is CIE 1976 under D65 (2 degree observer). Nothing is clamped: values outside [0, 1] stay
finite and in order, so that HDR layers and untrained networks survive the round trip.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Primaries of IEC 61966-2-1; rows X, Y, Z. White is the matrix times (1, 1, 1), so that grays are exactly neutral
# despite the rounding of published constants.
_XYZ_FROM_RGB = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
_WHITE = [sum(row) for row in _XYZ_FROM_RGB]
_RATIO_FROM_RGB = [[m / white for m in row] for row, white in zip(_XYZ_FROM_RGB, _WHITE, strict=True)]
_RGB_FROM_RATIO = torch.linalg.inv(torch.tensor(_RATIO_FROM_RGB, dtype=torch.float64)).tolist()

_KNEE_SRGB, _KNEE_LINEAR = 0.04045, 0.0031308
_KNEE_LAB = 6.0 / 29.0  # of the cube root; its cube is where CIE's straight line begins


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Convert encoded sRGB values to linear light.

    srgb: any shape, floating. Extended to all numbers by sign(x) * f(|x|), strictly increasing: values below
    0 and above 1 are restored by `linear_to_srgb`. Gradients are finite everywhere.
    """
    size = srgb.abs()
    # The clamp keeps the branch that is not taken from giving NaN gradients.
    curve = ((size.clamp(min=_KNEE_SRGB) + 0.055) / 1.055) ** 2.4
    return torch.where(size <= _KNEE_SRGB, srgb / 12.92, torch.copysign(curve, srgb))


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Convert linear light to encoded sRGB values; the inverse of `srgb_to_linear`, extended in the same way."""
    size = linear.abs()
    curve = 1.055 * size.clamp(min=_KNEE_LINEAR) ** (1 / 2.4) - 0.055
    return torch.where(size <= _KNEE_LINEAR, linear * 12.92, torch.copysign(curve, linear))


def srgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert encoded sRGB to CIE L*a*b* under D65.

    rgb: (B, 3, H, W) floating, nominally in [0, 1].
    Returns (B, 3, H, W): L in 0..100, a and b about -128..127. White and grays have a = b = 0.
    """
    ratio = _mix_channels(_RATIO_FROM_RGB, srgb_to_linear(rgb))  # (B, 3, H, W): X, Y, Z over the white's
    # CIE's line continues below the knee and through zero, so negative light is ordered too.
    root = ratio.clamp(min=_KNEE_LAB**3) ** (1 / 3)
    line = ratio / (3 * _KNEE_LAB**2) + 4 / 29
    x, y, z = torch.where(ratio > _KNEE_LAB**3, root, line).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """Convert CIE L*a*b* to encoded sRGB; the inverse of `srgb_to_lab`, not clamped.

    lab: (B, 3, H, W) floating.   Returns (B, 3, H, W); colors outside sRGB come out below 0 or above 1.
    """
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    root = torch.stack((y + a / 500, y, y - b / 200), dim=1)
    ratio = torch.where(root > _KNEE_LAB, root**3, 3 * _KNEE_LAB**2 * (root - 4 / 29))
    return linear_to_srgb(_mix_channels(_RGB_FROM_RATIO, ratio))


def _mix_channels(matrix: list[list[float]], picture: Tensor) -> Tensor:
    """Multiply the channels of (B, 3, H, W) by a matrix (3, 3); as sums, because autocast uses bfloat16 for matmul."""
    r, g, b = picture.unbind(1)
    return torch.stack([row[0] * r + row[1] * g + row[2] * b for row in matrix], dim=1)
