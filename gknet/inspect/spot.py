"""The one place whose attention is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gknet.errors import InputError
from gknet.pixels.box import Box
from gknet.pixels.reduction import Sight


@dataclass(frozen=True, slots=True)
class Spot:
    """x, y: a pixel of the composite.   across, down: where its center lies in what the network saw, in its pixels."""

    x: int
    y: int
    across: float
    down: float

    @classmethod
    def at_pixel(cls, x: int, y: int, sight: Sight) -> Spot:
        """The spot at a pixel of the composite. Raises InputError if the network did not look there."""
        window = sight.window
        if Box(x, y, 1, 1).intersect(window) is None:
            raise InputError(
                f"The object is so small that the network looked around it alone, not at {x},{y}.",
                f"Choose a point from {window.left},{window.top} to {window.right - 1},{window.bottom - 1}.",
            )
        left, top, width, height = sight.locate(Box(x, y, 1, 1))
        return cls(x, y, left + width / 2, top + height / 2)

    @classmethod
    def at_foreground(cls, sight: Sight) -> Spot:
        """The foreground's own pixel that lies nearest to its center of gravity."""
        rows, columns = np.nonzero(sight.mask >= 0.99 * sight.mask.max())
        nearest = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
        window, (height, width) = sight.window, sight.mask.shape
        x = window.left + int((columns[nearest] + 0.5) * window.width / width)
        y = window.top + int((rows[nearest] + 0.5) * window.height / height)
        return cls.at_pixel(x, y, sight)

    def find_token(self, sight: Sight, grid: tuple[int, int]) -> int:
        """The token, of a grid of (rows, columns) counted row by row, that stands for the spot."""
        height, width = sight.mask.shape
        row = min(int(self.down * grid[0] / height), grid[0] - 1)
        column = min(int(self.across * grid[1] / width), grid[1] - 1)
        return row * grid[1] + column


def check_inside(point: tuple[int, int], width: int, height: int) -> None:
    """Raises InputError for a point beside a picture of so many pixels."""
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(
            f"The point {x},{y} lies outside the picture, which has {width} x {height} pixels.",
            f"Choose one from 0,0 to {width - 1},{height - 1}.",
        )
