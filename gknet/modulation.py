"""Multi-level harmony kernel modulation (the paper, section 3.3, Eq. 5 and 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _kernel_size(feature: Tensor, kernels: Tensor) -> int:
    """N, from the number of kernel channels. Raises ValueError if the two do not belong together."""
    batch, channels, height, width = feature.shape
    taps = kernels.shape[1] // channels
    size = round(taps**0.5)
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

    Same arguments, result and gradients.
    """
    size = _kernel_size(feature, kernels)
    batch, channels, height, width = feature.shape
    per_tap = kernels.view(batch, channels, size * size, height, width)  # (B, C, N*N, H, W)
    radius = size // 2
    padded = F.pad(feature, (radius, radius, radius, radius))  # (B, C, H+2r, W+2r)
    modulated = torch.zeros_like(feature)
    for tap in range(size * size):
        # The tap holds K_p[(dy, dx)], which multiplies F[p - (dy, dx)].
        top, left = 2 * radius - tap // size, 2 * radius - tap % size
        shifted = padded[:, :, top : top + height, left : left + width]  # (B, C, H, W)
        modulated = torch.addcmul(modulated, per_tap[:, :, tap], shifted)
    return modulated
