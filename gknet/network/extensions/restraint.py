"""Shrinkage of small changes: most of what a network changes of an object that is right already is its error."""

from __future__ import annotations

from torch import Tensor


def restrained(change: Tensor, composite: Tensor, mask: Tensor, restraint: float) -> Tensor:
    """The part of a change that `GKNetConfig.restraint` lets through: the share s^6 / (s^6 + r^6) of it.

    change: (B, 3, H, W), zero where the mask is.   composite: (B, 3, H, W) in [0, 1].   mask: (B, 1, H, W) in [0, 1].
    s is the root mean square of the change over a picture's foreground. r is the restraint times the root of the
    foreground's mean value, because a change is seen better the darker an object is.   Returns (B, 3, H, W).
    """
    if restraint == 0:
        return change
    weight = mask.float()
    # A black foreground's r is 0, an empty one's s: neither may divide by nothing.
    square = change.float().square().sum(dim=(1, 2, 3)) / (3 * weight.square().sum(dim=(1, 2, 3))).clamp_min(1e-12)
    light = (composite.float() * weight).sum(dim=(1, 2, 3)) / (3 * weight.sum(dim=(1, 2, 3))).clamp_min(1e-12)  # (B,)
    share = square**3 / (square**3 + (restraint**2 * light.clamp_min(0)) ** 3).clamp_min(1e-30)
    return change * share.to(change.dtype)[:, None, None, None]
