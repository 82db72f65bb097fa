"""What a preview shows: a layer with some of its surroundings. Boxes are (left, top, width, height), in pixels."""

from __future__ import annotations

Box = tuple[int, int, int, int]

_MARGIN = 0.35
"""Of the longer side of what shows of the layer, around it."""


def intersect_boxes(one: Box, other: Box) -> Box:
    """What two boxes share; without pixels if they share none."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[0] + one[2], other[0] + other[2]), min(one[1] + one[3], other[1] + other[3])
    return left, top, max(0, right - left), max(0, bottom - top)


def find_surroundings(layer: Box, width: int, height: int) -> Box:
    """The part of a canvas of this size that is shown of a layer: all of it for a layer that lies beside it."""
    canvas = (0, 0, width, height)
    left, top, across, down = intersect_boxes(layer, canvas)
    if not across or not down:
        return canvas
    margin = round(_MARGIN * max(across, down))
    return intersect_boxes((left - margin, top - margin, across + 2 * margin, down + 2 * margin), canvas)
