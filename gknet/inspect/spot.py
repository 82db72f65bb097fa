"""The point whose attention is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gknet.errors import InputError
from gknet.pixels.box import Box
from gknet.pixels.reduction import Sight


@dataclass(frozen=True, slots=True)
class Spot:
    """A point. x, y: a pixel of the composite.   across, down: its center in pixels of the network's input."""

    x: int
    y: int
    across: float
    down: float

    @classmethod
    def at_pixel(cls, x: int, y: int, sight: Sight) -> Spot:
        """Return the spot at a pixel of the composite. Raises InputError if it is outside the network's input."""
        window = sight.window
        if Box(x, y, 1, 1).intersect(window) is None:
            raise InputError(
                f"Point {x},{y} is outside the network's input, which covers only the surroundings of a tiny object.",
                f"Choose a point from {window.left},{window.top} to {window.right - 1},{window.bottom - 1}.",
            )
        left, top, width, height = sight.locate(Box(x, y, 1, 1))
        return cls(x, y, left + width / 2, top + height / 2)

    @classmethod
    def at_foreground(cls, sight: Sight) -> Spot:
        """Return the spot at the foreground's pixel nearest to its center of gravity."""
        rows, columns = np.nonzero(sight.mask >= 0.99 * sight.mask.max())
        nearest = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
        window, (height, width) = sight.window, sight.mask.shape
        x = window.left + int((columns[nearest] + 0.5) * window.width / width)
        y = window.top + int((rows[nearest] + 0.5) * window.height / height)
        return cls.at_pixel(x, y, sight)

    def find_token(self, sight: Sight, grid: tuple[int, int]) -> int:
        """Return the token of the spot, in a grid of (rows, columns) counted row by row."""
        height, width = sight.mask.shape
        row = min(int(self.down * grid[0] / height), grid[0] - 1)
        column = min(int(self.across * grid[1] / width), grid[1] - 1)
        return row * grid[1] + column


def check_inside(point: tuple[int, int], width: int, height: int) -> None:
    """Raise InputError for a point outside a picture of this size."""
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(
            f"Point {x},{y} is outside the picture, which has {width} x {height} pixels.",
            f"Choose one from 0,0 to {width - 1},{height - 1}.",
        )
