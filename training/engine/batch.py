"""What every source of training pictures gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from gknet.network.extensions.recognition import Recognized


class Batch(NamedTuple):
    """composite, real: (B, 3, H, W) sRGB in [0, 1].   mask: (B, 1, H, W) in [0, 1].

    recognized: what there is to recognize in them, where that was looked up before.
    """

    composite: Tensor
    real: Tensor
    mask: Tensor
    recognized: Recognized | None = None


class Stream(Protocol):
    """Composites without end, on the device that trains."""

    def draw_batch(self) -> Batch:
        """The next ones: at least one. Raises HarmonizeError if there are none to be had."""
        ...
