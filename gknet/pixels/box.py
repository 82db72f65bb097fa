"""Rectangles on the canvas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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

    def cut_into_strips(self, max_pixels: int) -> Iterator[Self]:
        """Yield boxes of whole rows that make up the box, each of at most `max_pixels`, or of one row."""
        height = max(1, max_pixels // max(1, self.width))
        for top in range(self.top, self.bottom, height):
            yield self._replace(top=top, height=min(height, self.bottom - top))


def enclose(boxes: Iterable[Box]) -> Box | None:
    """Return the smallest box around boxes; those without pixels do not count. None if there are no others."""
    boxes = [box for box in boxes if box.width and box.height]
    if not boxes:
        return None
    left, top = min(box.left for box in boxes), min(box.top for box in boxes)
    return Box(left, top, max(box.right for box in boxes) - left, max(box.bottom for box in boxes) - top)


def bounding_box(mask: np.ndarray) -> Box:
    """Return the smallest box around all pixels of (H, W) above 0. Raises NoForegroundError if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise NoForegroundError("The layer is transparent everywhere.", "Choose the layer that holds the object.")
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))


def outside_error(subject: str = "The foreground") -> NoForegroundError:
    """Return the error for a foreground without a pixel on the canvas.   subject: of the message."""
    return NoForegroundError(f"{subject} is entirely outside the background.", "Move it over the picture.")
