"""What training minimises."""

from __future__ import annotations

from torch import Tensor

SMALLEST_AREA = 100.0
"""A_min of Eq. 7, pixels."""


def foreground_mse(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Eq. 7: squared error over the foreground's area, at least A_min pixels; mean over the batch.

    harmonized, real: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W) in [0, 1].   Returns a scalar.
    """
    return _error_per_pixel(harmonized, real, mask).mean()


def foreground_rmse(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """The mean over pictures of Eq. 7's root: easy and hard composites weigh alike (ours, for gknet-s).

    Arguments as `foreground_mse`. The root is kept differentiable at zero.
    """
    return (_error_per_pixel(harmonized, real, mask) / 3 + 1e-6).sqrt().mean()


def _error_per_pixel(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """(B,): squared error summed over the picture, over max(A_min, area)."""
    squared = (harmonized - real).square().sum(dim=(1, 2, 3))
    return squared / mask.sum(dim=(1, 2, 3)).clamp_min(SMALLEST_AREA)
