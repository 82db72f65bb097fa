"""The batches that every source of training pictures yields."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from gknet.network.extensions.recognition import RecognizedFeatures


class Batch(NamedTuple):
    """A batch of composites with their ground truth.

    composite, real: (B, 3, H, W) sRGB in [0, 1].
    mask: (B, 1, H, W) in [0, 1].
    recognized: the recognition trunk's feature maps, if they were computed in advance.
    """

    composite: Tensor
    real: Tensor
    mask: Tensor
    recognized: RecognizedFeatures | None = None


class Stream(Protocol):
    """An endless stream of composites on the training device."""

    def draw_batch(self) -> Batch:
        """Return the next batch, of at least one composite. Raises HarmonizeError if the source yields none."""
        ...
