"""The versions of the object that a user can choose from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gknet.inspect.drawing import draw_panel, limit_ratio, make_figure, to_png
from gknet.inspect.page import Plate

_ACROSS = 3


def draw_variants(pictures: Sequence[np.ndarray], probabilities: Sequence[float]) -> Plate:
    """Draw the object in every version.

    pictures: (h, w, 3) sRGB in [0, 1], all of the same size.   probabilities: in [0, 1].
    """
    rows = -(-len(pictures) // _ACROSS)
    figure = make_figure(rows * (3.5 * limit_ratio(pictures[0]) + 0.4))
    places = list(figure.subplots(rows, _ACROSS, squeeze=False).flat)
    for place in places[len(pictures) :]:
        place.set_axis_off()
    for number, (place, picture, probability) in enumerate(
        zip(places[: len(pictures)], pictures, probabilities, strict=True), start=1
    ):
        draw_panel(place, f"version {number}: {probability:.0%}", picture)
    return Plate(
        name="variants",
        title="The versions",
        text=(
            "Version 1 is the network’s own answer; the others move its mean color and its contrast. The percentage is "
            "how likely each is to be the best. “gknet harmonize --variants” writes them all."
        ),
        png=to_png(figure),
    )
