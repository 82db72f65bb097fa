"""The training losses."""

from __future__ import annotations

from torch import Tensor

SMALLEST_AREA = 100.0
"""A_min of Eq. 7, in pixels."""


def foreground_mse(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Return the loss of Eq. 7: squared error over the foreground's area, averaged over the batch.

    The area counts as at least A_min pixels.
    harmonized, real: (B, 3, H, W) in [0, 1].
    mask: (B, 1, H, W) in [0, 1].
    Returns a scalar.
    """
    return _error_per_pixel(harmonized, real, mask).mean()


def foreground_rmse(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over pictures of the root of Eq. 7, so that easy and hard composites weigh alike.

    Ours, used for gknet-s. Arguments as `foreground_mse`. The root stays differentiable at zero.
    """
    return (_error_per_pixel(harmonized, real, mask) / 3 + 1e-6).sqrt().mean()


def _error_per_pixel(harmonized: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Return (B,): squared error summed over the picture, divided by max(A_min, area)."""
    squared = (harmonized - real).square().sum(dim=(1, 2, 3))
    return squared / mask.sum(dim=(1, 2, 3)).clamp_min(SMALLEST_AREA)
