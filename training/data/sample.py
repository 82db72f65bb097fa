"""One composite for evaluation, and the constants shared by all evaluation sets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

SIZE = 256
"""Height and width in pixels, as in the paper's protocol."""
MASK_SHARE = (0.003, 0.85)
"""Smallest and largest foreground used for validation, as a share of the picture."""
TRIES = 20
"""Attempts to draw a usable composite before it is left out."""


class Sample(NamedTuple):
    """One composite: (SIZE, SIZE, 3) uint8 pictures and a (SIZE, SIZE) bool mask."""

    key: str
    kind: str
    composite: np.ndarray
    real: np.ndarray
    mask: np.ndarray


def to_pixels(picture: Tensor) -> np.ndarray:
    """Convert a picture (1, 3, S, S) in [0, 1] to (S, S, 3) uint8."""
    return (picture[0] * 255).round().byte().permute(1, 2, 0).numpy()
