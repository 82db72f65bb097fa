"""Rectangles on the canvas."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from gknet.errors import NoForegroundError


class Box(NamedTuple):
    """A rectangle on the canvas, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column beyond the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row beyond the box."""
        return self.top + self.height

    def shift(self, across: int, down: int) -> Self:
        """Return the box moved by a number of columns and rows."""
        return self._replace(left=self.left + across, top=self.top + down)

    def intersect(self, other: Box) -> Box | None:
        """Return the intersection with another box, None if it is empty."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, right - left, bottom - top) if left < right and top < bottom else None


def bounding_box(mask: np.ndarray) -> Box:
    """Return the smallest box around all pixels of (H, W) above 0. Raises NoForegroundError if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise NoForegroundError("The layer is transparent everywhere.", "Choose the layer that holds the object.")
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))
