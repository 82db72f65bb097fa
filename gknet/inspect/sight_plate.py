"""What the network was shown of the picture, and what it answered."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from gknet.inspect.drawing import draw_mark, draw_panel, limit_ratio, make_figure, to_png
from gknet.inspect.page import Plate
from gknet.inspect.record import Record
from gknet.inspect.spot import Spot
from gknet.pixels.box import Box


def draw_sight(record: Record, whole: np.ndarray, canvas: tuple[int, int], window: Box, spot: Spot) -> Plate:
    """The picture with what was looked at, the network's small copy and mask, and its answer.

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
        looked_at = (window.left * across, window.top * down), window.width * across, window.height * down
        picture.add_patch(Rectangle(*looked_at, fill=False, edgecolor="#d55e00", linewidth=2.5))
    draw_mark(picture, (spot.x + 0.5) * across, (spot.y + 0.5) * down)
    draw_panel(composite, f"what the network saw, {width} × {height}", record.composite)
    draw_mark(composite, spot.across, spot.down)
    draw_panel(mask, "where it was told the object is", np.repeat(record.mask[:, :, None], 3, axis=2))
    draw_panel(answer, "what it answered", record.harmonized)
    part = "all of it" if everything else "the framed part of it alone, for the object is tiny"
    return Plate(
        name="sight",
        title="What the network saw",
        text=(
            f"The network never sees your picture at full size but a small copy: {part}. From it and the mask it makes "
            f"the answer at the right; that is turned into smooth color curves, and these are applied to your own "
            f"pixels at full size. The ring marks pixel {spot.x},{spot.y}, the point that is followed below "
            f"(another: --point X,Y)."
        ),
        png=to_png(figure),
    )
