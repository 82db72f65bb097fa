"""One composite to judge on, and what all sets of them share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

SIZE = 256
"""Height and width, as in the paper's protocol."""
MASK_SHARE = (0.003, 0.85)
"""Foregrounds the validation judges on, share of the picture."""
TRIES = 20
"""Draws of a composite that are tried before it is left out."""


class Sample(NamedTuple):
    """One composite: (SIZE, SIZE, 3) uint8 pictures, (SIZE, SIZE) bool mask."""

    key: str
    kind: str
    composite: np.ndarray
    real: np.ndarray
    mask: np.ndarray


def to_pixels(picture: Tensor) -> np.ndarray:
    """(S, S, 3) uint8 of (1, 3, S, S) in [0, 1]."""
    return (picture[0] * 255).round().byte().permute(1, 2, 0).numpy()
