"""Drawing primitives of the page: the photograph, maps over it, and scales beside them."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gknet.color.luma import LUMA

WIDTH = 11.0
"""Width of a drawing in inches, at 110 pixels per inch."""
_STEEPEST = 6.0


def make_figure(height: float) -> Figure:
    """Return an empty figure of a height in inches."""
    return Figure(figsize=(WIDTH, height), dpi=110, layout="constrained")


def to_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file's bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def limit_ratio(picture: np.ndarray) -> float:
    """Return height over width of the panel for a picture (H, W, ...), limited for very long pictures."""
    return float(np.clip(picture.shape[0] / picture.shape[1], 1 / _STEEPEST, _STEEPEST))


def draw_panel(axes: Axes, title: str, picture: np.ndarray) -> None:
    """Draw a picture (H, W, 3) in [0, 1] in its panel, whose units are the picture's pixels."""
    axes.imshow(picture.clip(0, 1), aspect="auto", extent=get_extent(picture), interpolation="nearest")
    axes.set_box_aspect(limit_ratio(picture))
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def get_extent(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Return matplotlib's extent for a map of any size that covers a picture (H, W, ...)."""
    return (0, picture.shape[1], picture.shape[0], 0)


def make_backdrop(picture: np.ndarray) -> np.ndarray:
    """Return the picture in pale gray (H, W, 3), to draw a map over."""
    gray = picture.clip(0, 1) @ np.array(LUMA, np.float32)
    return np.repeat((0.35 + 0.6 * gray)[:, :, None], 3, axis=2)


def draw_outline(axes: Axes, mask: np.ndarray) -> None:
    """Draw a thin line around the object, given its mask (H, W), in a panel of its size."""
    level = float(mask.max()) / 2
    if not mask.min() < level:  # the object fills the picture
        return
    rows, columns = (np.arange(side) + 0.5 for side in mask.shape)
    axes.contour(columns, rows, mask, levels=[level], colors="white", linewidths=2.2)
    axes.contour(columns, rows, mask, levels=[level], colors="black", linewidths=0.9)


def draw_mark(axes: Axes, x: float, y: float) -> None:
    """Draw a ring with a dot at a position of the panel."""
    axes.plot(x, y, "o", markersize=13, markerfacecolor="none", markeredgecolor="white", markeredgewidth=3.5)
    axes.plot(x, y, "o", markersize=13, markerfacecolor="none", markeredgecolor="black", markeredgewidth=1.5)
    axes.plot(x, y, "o", markersize=3, color="black", markeredgecolor="white", markeredgewidth=0.5)
