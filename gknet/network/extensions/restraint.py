"""Shrinkage of small changes, which are mostly the network's error on objects that already fit their scene."""

from __future__ import annotations

from torch import Tensor


def restrain_change(change: Tensor, composite: Tensor, mask: Tensor, restraint: float) -> Tensor:
    """Scale a change by s^6 / (s^6 + r^6).

    change: (B, 3, H, W), zero where the mask is.   composite: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W) in [0, 1].
    restraint: `GKNetConfig.restraint`; 0 returns the change itself.
    s is the root mean square of the change over a picture's foreground. r is the restraint times the root of the
    foreground's mean value, because changes are more visible in dark objects.   Returns (B, 3, H, W).
    """
    if restraint == 0:
        return change
    weight = mask.float()
    # A black foreground has r = 0, an empty one s = 0; the bounds avoid a division by zero.
    square = change.float().square().sum(dim=(1, 2, 3)) / (3 * weight.square().sum(dim=(1, 2, 3))).clamp_min(1e-12)
    light = (composite.float() * weight).sum(dim=(1, 2, 3)) / (3 * weight.sum(dim=(1, 2, 3))).clamp_min(1e-12)  # (B,)
    share = square**3 / (square**3 + (restraint**2 * light.clamp_min(0)) ** 3).clamp_min(1e-30)
    return change * share.to(change.dtype)[:, None, None, None]
