"""SCF's weight for each channel of both inputs at each level (the paper, Eq. 3 and Fig. 9)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from gknet.inspect.drawing import limit_ratio, make_figure, to_png
from gknet.inspect.page import Plate
from gknet.inspect.record import Record

_SHOWN = 5
"""Number of channels drawn from either end of the order."""


def draw_channel_weights(record: Record, level: int) -> Plate:
    """Draw both inputs' feature maps at a level, those with the largest and smallest weights, and all weights in
    order.
    """
    fusion = record.fusions[level]
    height = 2 * (2 * (1.35 * limit_ratio(record.composite) + 0.3) + 0.75)
    figure = make_figure(height)
    grid = figure.add_gridspec(2, 1)
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    _draw_side(
        above, "From the encoder: what the picture looks like at this scale", fusion.encoded, fusion.encoded_weights
    )
    _draw_side(below, "From the previous level: the result so far", fusion.deeper, fusion.deeper_weights)
    channels, rows, columns = fusion.encoded.shape
    return Plate(
        name=f"fusion-{level + 1}",
        title=f"Channel weights: level {level + 1} of {len(record.fusions)} ({columns} × {rows} pixels)",
        text=(
            f"{channels} channels on either side. On average, a channel from the picture itself keeps "
            f"{fusion.encoded_weights.mean():.0%} of its strength, and one from the previous level "
            f"{fusion.deeper_weights.mean():.0%}."
        ),
        png=to_png(figure),
    )


def _draw_side(figure: SubFigure, title: str, features: np.ndarray, weights: np.ndarray) -> None:
    figure.suptitle(title, fontsize=11, fontweight="bold")
    order = np.argsort(-weights, kind="stable")
    shown = min(_SHOWN, len(order))
    axes = figure.subplot_mosaic(
        [["weights", *(f"most {i}" for i in range(shown))], ["weights", *(f"least {i}" for i in range(shown))]],
        width_ratios=[1.5, *[1] * shown],
    )
    _draw_weights(axes["weights"], weights[order])
    # Half a percent may lie beyond the scale; otherwise single pixels would wash out the rest.
    most = max(float(np.quantile(np.abs(features), 0.995)), 1e-6)
    scale = Normalize(-most, most)
    for row, channels in (("most", order[:shown]), ("least", order[len(order) - shown :])):
        for i, channel in enumerate(channels):
            place = axes[f"{row} {i}"]
            place.imshow(features[channel], norm=scale, cmap="RdBu_r", aspect="auto", interpolation="nearest")
            place.set_box_aspect(limit_ratio(features[0]))
            place.set_title(f"channel {channel + 1}, weight {weights[channel]:.2f}", fontsize=8)
            place.set_xticks([])
            place.set_yticks([])
    maps = [place for name, place in axes.items() if name != "weights"]
    bar = figure.colorbar(ScalarMappable(scale, "RdBu_r"), ax=maps, shrink=0.8, extend="both")
    bar.set_label("feature value (no unit)", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _draw_weights(axes: Axes, weights: np.ndarray) -> None:
    axes.plot(np.arange(1, len(weights) + 1), weights, color="black", linewidth=1.2)
    shown = min(_SHOWN, len(weights))
    axes.axvspan(0.5, shown + 0.5, color="0.85")
    axes.axvspan(len(weights) - shown + 0.5, len(weights) + 0.5, color="0.85")
    axes.set_ylim(0, 1)
    axes.set_xlim(0.5, len(weights) + 0.5)
    axes.set_ylabel("weight, 0 to 1", fontsize=8)
    axes.set_xlabel("channels, largest weight first\n(gray: those shown)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
