"""The region that a preview shows: a layer and its surroundings. Boxes are (left, top, width, height) in pixels."""

from __future__ import annotations

Box = tuple[int, int, int, int]

_MARGIN = 0.35
"""Margin around the layer's visible part, as a fraction of its longer side."""


def intersect_boxes(one: Box, other: Box) -> Box:
    """Return the intersection of two boxes; its width or height is 0 if they don't overlap."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[0] + one[2], other[0] + other[2]), min(one[1] + one[3], other[1] + other[3])
    return left, top, max(0, right - left), max(0, bottom - top)


def find_surroundings(layer: Box, width: int, height: int) -> Box:
    """Return the region of a canvas to show for a layer: the whole canvas if the layer is outside it."""
    canvas = (0, 0, width, height)
    left, top, across, down = intersect_boxes(layer, canvas)
    if not across or not down:
        return canvas
    margin = round(_MARGIN * max(across, down))
    return intersect_boxes((left - margin, top - margin, across + 2 * margin, down + 2 * margin), canvas)
