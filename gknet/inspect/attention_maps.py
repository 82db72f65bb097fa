"""Attention of a point of the picture in each layer of LRE (the paper, section 3.2 and Fig. 10)."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from gknet.inspect.drawing import (
    draw_mark,
    draw_outline,
    draw_panel,
    get_extent,
    limit_ratio,
    make_backdrop,
    make_figure,
    to_png,
)
from gknet.inspect.page import Plate
from gknet.inspect.record import Record

_COLUMNS = 4
_OPACITY = 0.72


def draw_attention_map(record: Record, layer: int, token: int, spot: tuple[float, float]) -> Plate:
    """Draw one map per head for the token at a spot, (across, down) in the composite's pixels."""
    shares = record.attention[layer].compute_shares(token)  # (heads, T)
    heads, count = shares.shape
    times = (shares * count).reshape(heads, *record.grid)
    steps = math.ceil(math.log(np.clip(np.quantile(times, 0.999), 2, 256), 4))
    most = 4.0**steps  # symmetric around an even share
    scale = LogNorm(1 / most, most)
    rows = math.ceil(heads / _COLUMNS)
    figure = make_figure(rows * (2.65 * limit_ratio(record.composite) + 0.4) + 0.9)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    tokens_inside = record.measure_object(*record.grid)  # (rows, columns)
    to_object = (times * tokens_inside).mean(axis=(1, 2))  # (heads,)
    for head, place in enumerate(axes.flat):
        if head >= heads:
            place.set_axis_off()
            continue
        draw_panel(place, f"head {head + 1}: {to_object[head]:.0%} to the object", make_backdrop(record.composite))
        place.imshow(
            times[head].clip(1 / most, most),
            norm=scale,
            cmap="RdBu_r",
            alpha=_OPACITY,
            aspect="auto",
            extent=get_extent(record.composite),
            interpolation="nearest",
        )
        draw_outline(place, record.mask)
        draw_mark(place, *spot)
    _draw_scale(figure, axes, scale, steps)
    return Plate(
        name=f"attention-{layer + 1}",
        title=f"Where the point looks: layer {layer + 1} of {len(record.attention)}",
        text=(
            f"{record.grid[1]} × {record.grid[0]} squares; an even share would be {1 / count:.2%} for each. The object "
            f"covers {tokens_inside.mean():.0%} of the network’s input and gets from {min(to_object):.0%} to "
            f"{max(to_object):.0%} of the point’s attention, depending on the head."
        ),
        png=to_png(figure),
    )


def _draw_scale(figure: Figure, axes: np.ndarray, scale: LogNorm, steps: int) -> None:
    """Draw the color scale below all panels, from 4^-steps to 4^steps."""
    colors = ScalarMappable(scale, "RdBu_r")
    bar = figure.colorbar(colors, ax=axes, location="bottom", shrink=0.6, aspect=40, extend="both", alpha=_OPACITY)
    bar.set_label("attention, as a multiple of an even share")
    ticks = [4.0**step for step in range(-steps, steps + 1)]
    bar.set_ticks(ticks, labels=[f"{tick:g}×" if tick >= 1 else f"1/{1 / tick:g}×" for tick in ticks])
    bar.ax.minorticks_off()
