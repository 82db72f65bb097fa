"""What every source of training pictures gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """composite, real: (B, 3, H, W) sRGB in [0, 1].   mask: (B, 1, H, W) in [0, 1]."""

    composite: Tensor
    real: Tensor
    mask: Tensor


class Stream(Protocol):
    """Composites without end, on the device that trains."""

    def batch(self) -> Batch:
        """The next ones: at least one. Raises HarmonizeError if there are none to be had."""
        ...
