"""The network's input and output for the picture."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from gknet.inspect.drawing import draw_mark, draw_panel, limit_ratio, make_figure, to_png
from gknet.inspect.page import Plate
from gknet.inspect.record import Record
from gknet.inspect.spot import Spot
from gknet.pixels.box import Box


def draw_sight(record: Record, whole: np.ndarray, canvas: tuple[int, int], window: Box, spot: Spot) -> Plate:
    """Draw the picture with the network's window, the network's small copy and mask, and its result.

    whole: (h, w, 3) sRGB in [0, 1], the whole picture at any size.   canvas: (height, width) of the picture itself.
    """
    height, width = record.mask.shape
    tallest = max(limit_ratio(whole), limit_ratio(record.composite))
    figure = make_figure(2.6 * tallest + 0.5)
    picture, composite, mask, answer = figure.subplots(1, 4)
    draw_panel(picture, f"your picture, {canvas[1]} × {canvas[0]}", whole)
    down, across = whole.shape[0] / canvas[0], whole.shape[1] / canvas[1]
    everything = (window.height, window.width) == canvas
    if not everything:
        frame = (window.left * across, window.top * down), window.width * across, window.height * down
        picture.add_patch(Rectangle(*frame, fill=False, edgecolor="#d55e00", linewidth=2.5))
    draw_mark(picture, (spot.x + 0.5) * across, (spot.y + 0.5) * down)
    draw_panel(composite, f"what the network saw, {width} × {height}", record.composite)
    draw_mark(composite, spot.across, spot.down)
    draw_panel(mask, "the mask of the object", np.repeat(record.mask[:, :, None], 3, axis=2))
    draw_panel(answer, "its result", record.harmonized)
    part = "all of it" if everything else "only the framed part of it, because the object is tiny"
    return Plate(
        name="sight",
        title="What the network saw",
        text=(
            f"The network does not process your picture at full size but a small copy: {part}. From this copy and the "
            f"mask it computes the result on the right, which is turned into smooth color curves. These are applied "
            f"to your own pixels at full size. The ring marks pixel {spot.x},{spot.y}, whose attention is shown below "
            f"(choose another with --point X,Y)."
        ),
        png=to_png(figure),
    )
