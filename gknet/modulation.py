"""Multi-level harmony kernel modulation (the paper, section 3.3, Eq. 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def _kernel_size(feature: Tensor, kernels: Tensor) -> int:
    """N, from the number of kernel channels. Raises ValueError if the two do not belong together."""
    batch, channels, height, width = feature.shape
    taps = kernels.shape[1] // channels
    size = math.isqrt(taps)
    if kernels.shape != (batch, channels * size * size, height, width) or size % 2 == 0:
        raise ValueError(f"kernels {tuple(kernels.shape)} do not fit a feature {tuple(feature.shape)}")
    return size


def modulate_reference(feature: Tensor, kernels: Tensor) -> Tensor:
    """Eq. 6 word for word: F_mod[p] = sum over q of K_p[p - q] F[q], zero outside the picture.

    feature: (B, C, H, W).   kernels: (B, C*N*N, H, W), N odd; channel c*N*N + (dy + r)*N + (dx + r) holds
    K_p[(dy, dx)] for channel c, with r = N // 2.   Returns (B, C, H, W).
    Memory: the unfolded feature is N*N copies of it; `modulate` computes the same without them.
    """
    size = _kernel_size(feature, kernels)
    batch, channels, height, width = feature.shape
    # unfold's tap j is the offset q - p; Eq. 6 indexes the kernel by p - q, hence the flip.
    windows = F.unfold(feature, size, padding=size // 2)  # (B, C*N*N, H*W)
    windows = windows.view(batch, channels, size * size, height, width).flip(2)  # (B, C, N*N, H, W)
    per_tap = kernels.view(batch, channels, size * size, height, width)  # (B, C, N*N, H, W)
    return (windows * per_tap).sum(dim=2)  # (B, C, H, W)


def modulate(feature: Tensor, kernels: Tensor) -> Tensor:
    """`modulate_reference` as N*N shifted multiply-adds, without the unfolded copy.

    Same arguments, result and gradients (of the first order).
    """
    _kernel_size(feature, kernels)
    modulated: Tensor = _Modulation.apply(feature, kernels)  # type: ignore[no-untyped-call]
    return modulated


class _Modulation(torch.autograd.Function):
    """Written out by hand, because autograd would make a whole kernels' gradient of zeros for every tap."""

    @staticmethod
    def forward(ctx: Any, feature: Tensor, kernels: Tensor) -> Tensor:
        ctx.save_for_backward(feature, kernels)
        modulated = torch.zeros_like(feature)
        for tap, shifted in _taps(_padded(feature, kernels), feature, kernels):
            modulated.addcmul_(tap, shifted)
        return modulated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        feature, kernels = ctx.saved_tensors
        kernels_gradient = torch.empty_like(kernels)
        padded = _padded(feature, kernels)
        for tap, shifted in _taps(padded, feature, kernels_gradient):
            torch.mul(gradient, shifted, out=tap)
        padded_gradient = torch.zeros_like(padded)
        for tap, shifted in _taps(padded_gradient, feature, kernels):
            shifted.addcmul_(gradient, tap)
        radius = (padded.shape[2] - feature.shape[2]) // 2
        height, width = feature.shape[2:]
        return padded_gradient[:, :, radius : radius + height, radius : radius + width], kernels_gradient


def _padded(feature: Tensor, kernels: Tensor) -> Tensor:
    """(B, C, H+2r, W+2r): the feature with zeros around it."""
    radius = _kernel_size(feature, kernels) // 2
    return F.pad(feature, (radius, radius, radius, radius))


def _taps(padded: Tensor, feature: Tensor, kernels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each of the N*N taps the views (B, C, H, W) of its kernels K_p[(dy, dx)] and of F[p - (dy, dx)]."""
    size = _kernel_size(feature, kernels)
    batch, channels, height, width = feature.shape
    per_tap = kernels.view(batch, channels, size * size, height, width)  # (B, C, N*N, H, W)
    for tap in range(size * size):
        top, left = size - 1 - tap // size, size - 1 - tap % size
        yield per_tap[:, :, tap], padded[:, :, top : top + height, left : left + width]
