"""The change of the object's colors: before and after, maps of the change, and curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize

from gknet.color.encoding import Encoding, full_value
from gknet.color.srgb import srgb_to_lab
from gknet.inspect.drawing import draw_panel, get_extent, limit_ratio, make_backdrop, make_figure, to_png
from gknet.inspect.page import Plate
from gknet.pixels.box import Box
from gknet.pixels.pixels import as_rgb
from gknet.pixels.reduction import make_thumbnail

_LONG_SIDE = 720
_SAMPLED = 100_000
"""Maximum number of the object's full-resolution pixels used for curves and means."""
_FEWEST = 30
"""Pixels that a point of a curve needs, if the object has many."""
_NOTICEABLE = 1.0
"""Smallest change reported, in L*, a*, b* or C*: about the least visible side by side."""

_UNCHANGED = "#f2f2f2"
_MAPS = (
    ("lighter (+) or darker (−): ΔL*", "#3b1f6b", "#f5a800"),
    ("redder (+) or greener (−): Δa*", "#00794a", "#d1005d"),
    ("warmer, yellower (+) or cooler, bluer (−): Δb*", "#1f5fbf", "#d69a00"),
    ("more (+) or less (−) colorful: ΔC*", "#4d4d4d", "#e0007a"),
)
_WORDS = (("lighter", "darker"), ("redder", "greener"), ("warmer", "cooler"), ("more colorful", "less colorful"))


@dataclass(frozen=True, slots=True, eq=False)
class ColorChange:
    """The object's colors before and after.

    before, after: (h, w, 3) float32 sRGB in [0, 1], the whole picture at the size of the page.
    near_before, near_after: likewise, the object and its surroundings.
    colors, changed: (n, 3) float32 sRGB in [0, 1], full-resolution pixels of the object, before and after.
    """

    before: np.ndarray
    after: np.ndarray
    near_before: np.ndarray
    near_after: np.ndarray
    colors: np.ndarray
    changed: np.ndarray

    @classmethod
    def measure(
        cls, before: np.ndarray, after: np.ndarray, mask: np.ndarray, box: Box, encoding: Encoding
    ) -> ColorChange:
        """Measure the change between two pictures.

        before, after: (H, W, C) as in `Picture`, in its encoding.   mask: (H, W), any range.   box: around the object.
        """
        places = np.flatnonzero(mask >= 0.9 * mask.max())
        if len(places) > _SAMPLED:
            places = np.sort(np.random.default_rng(0).choice(places, _SAMPLED, replace=False))
        sampled = (_to_unit_range(as_rgb(pixels).reshape(mask.size, -1)[places, :3]) for pixels in (before, after))
        return cls(
            *(_reduce(pixels, encoding) for pixels in (before, after)),
            *(show_object(pixels, box, encoding) for pixels in (before, after)),
            *(encoding.to_srgb(colors[None])[0].clip(0, 1) for colors in sampled),
        )

    def describe(self) -> str:
        """Describe the average change in a sentence for any reader."""
        means = _compute_differences(_to_lab(self.colors), _to_lab(self.changed)).mean(axis=0)
        parts = [
            f"{words[0] if mean > 0 else words[1]} (Δ{name} {mean:+.1f})"
            for mean, words, name in zip(means, _WORDS, ("L*", "a*", "b*", "C*"), strict=True)
            if abs(mean) >= _NOTICEABLE
        ]
        if not parts:
            return "On the whole the object did not change."
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        return f"On the whole the object became {listed}."


def show_object(picture: np.ndarray, box: Box, encoding: Encoding) -> np.ndarray:
    """Return the object and its surroundings (h, w, 3) float32 sRGB in [0, 1], at the size of the page.

    picture: (H, W, C) as in `Picture`, in its encoding.   box: around the object.
    """
    margin = max(box.width, box.height) // 4
    grown = Box(box.left - margin, box.top - margin, box.width + 2 * margin, box.height + 2 * margin)
    near = grown.intersect(Box(0, 0, picture.shape[1], picture.shape[0]))
    assert near is not None
    return _reduce(picture[near.top : near.bottom, near.left : near.right], encoding)


def draw_before_and_after(change: ColorChange) -> Plate:
    """Draw the whole picture, before and after."""
    figure = make_figure(5.4 * limit_ratio(change.before) + 0.4)
    left, right = figure.subplots(1, 2)
    draw_panel(left, "before", change.before)
    draw_panel(right, "after", change.after)
    return Plate(
        name="result",
        title="The result",
        text=(
            f"Left: the original picture. Right: the same with the object’s colors matched to the scene, "
            f"as “gknet harmonize” writes it. {change.describe()} Everything else is unchanged."
        ),
        png=to_png(figure),
    )


def draw_change_maps(change: ColorChange) -> Plate:
    """Draw maps of the change in lightness, hue and colorfulness."""
    before, after = change.near_before, change.near_after
    differences = _compute_differences(_to_lab(before), _to_lab(after))  # (h, w, 4)
    is_changed = (before != after).any(axis=2)
    strongest = np.abs(differences[is_changed]) if is_changed.any() else np.zeros((1, 4))
    most = max(2.0, float(np.quantile(strongest.max(axis=1), 0.98)))
    figure = make_figure(3 * (4.3 * limit_ratio(before) + 0.4))
    places = figure.subplots(3, 2)
    draw_panel(places[0, 0], "the object before", before)
    draw_panel(places[0, 1], "the object after", after)
    for place, (title, less, more), channel in zip(places[1:].flat, _MAPS, range(4), strict=True):
        draw_panel(place, title, make_backdrop(before))
        drawn = place.imshow(
            np.ma.masked_array(differences[:, :, channel], ~is_changed),
            norm=Normalize(-most, most),
            cmap=LinearSegmentedColormap.from_list(title, [less, _UNCHANGED, more]),
            aspect="auto",
            extent=get_extent(before),
            interpolation="nearest",
        )
        figure.colorbar(drawn, ax=place, extend="both", shrink=0.9).set_label("CIELAB units")
    return Plate(
        name="change-maps",
        title="What changed, and where",
        text=(
            "Top: a close-up of the object. Each map below shows one kind of change, “after” minus “before”; the pale "
            "photograph around it is unchanged. Near white: no change there. The numbers are units of CIELAB, in "
            "which equal steps look about equally large: 1 is about the least visible side by side, 10 is obvious at "
            "a glance, and black and white differ by 100 in L*. C* is chroma, the distance from gray. All four maps "
            "share one scale, so the strongest colors show the largest changes."
        ),
        png=to_png(figure),
    )


def draw_change_curves(change: ColorChange) -> Plate:
    """Draw tone curves, and the change in lightness and color from the object's shadows to its highlights."""
    figure = make_figure(4.1)
    tones, lightness, color = figure.subplots(1, 3)
    _draw_tones(tones, change)
    before, after = _to_lab(change.colors), _to_lab(change.changed)
    differences = _compute_differences(before, after)
    for axes, channels in ((lightness, (0,)), (color, (1, 2, 3))):
        axes.set_box_aspect(1)
        for channel in channels:
            name = ("ΔL* (+ lighter)", "Δa* (+ redder)", "Δb* (+ yellower)", "ΔC* (+ more colorful)")[channel]
            hue = ("black", "#d1005d", "#d69a00", "#7a3fb0")[channel]
            _draw_curve(axes, before[:, 0], differences[:, channel], (0, 100), hue, name)
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set_xlim(0, 100)
        axes.set_xlabel("lightness before, L* (0 black, 100 white)")
        axes.set_ylabel("change, CIELAB units")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -2), max(high, 2))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    lightness.set_title("lightness, from shadows to highlights", fontsize=10)
    color.set_title("color, from shadows to highlights", fontsize=10)
    return Plate(
        name="change-curves",
        title="What changed, from shadows to highlights",
        text=(
            "Left: tone curves as in a photo editor, from the object’s red, green and blue before to those after; "
            "above the dashed diagonal is brighter. Middle and right: how much lighter, redder, yellower and "
            "more colorful the object’s shadows, midtones and highlights became. The lines are medians; the bands "
            "contain eight of ten pixels. A wide band means that the change also depends on the position or on the "
            "other colors."
        ),
        png=to_png(figure),
    )


def _draw_tones(axes: Axes, change: ColorChange) -> None:
    axes.plot([0, 255], [0, 255], color="0.5", linewidth=0.8, linestyle="--")
    for channel, (name, hue) in enumerate((("red", "#c8102e"), ("green", "#1a8a34"), ("blue", "#1f5fbf"))):
        _draw_curve(axes, 255 * change.colors[:, channel], 255 * change.changed[:, channel], (0, 255), hue, name)
    axes.set_xlim(0, 255)
    axes.set_ylim(0, 255)
    axes.set_box_aspect(1)
    axes.set_xlabel("before, sRGB (0 to 255)")
    axes.set_ylabel("after, sRGB (0 to 255)")
    axes.set_title("tone curves", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_curve(
    axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[float, float], hue: str, name: str, steps: int = 24
) -> None:
    """Draw the median of y over x, in steps, with the band from the 10th to the 90th percentile."""
    edges = np.linspace(*limits, steps + 1)
    step = np.digitize(x, edges[1:-1])
    fewest = min(_FEWEST, max(1, len(x) // steps))
    filled = [i for i in range(steps) if (step == i).sum() >= fewest]
    at = [x[step == i].mean() for i in filled]
    low, middle, high = np.array([np.quantile(y[step == i], (0.1, 0.5, 0.9)) for i in filled]).reshape(-1, 3).T
    axes.fill_between(at, low, high, color=hue, alpha=0.15, linewidth=0)
    axes.plot(at, middle, color=hue, linewidth=1.8, marker=".", markersize=4, label=name)


def _to_lab(srgb: np.ndarray) -> np.ndarray:
    """Convert (..., 3) sRGB to CIELAB."""
    flat = torch.from_numpy(srgb.reshape(1, -1, 1, 3)).permute(0, 3, 1, 2)  # (1, 3, n, 1)
    return srgb_to_lab(flat)[0, :, :, 0].T.numpy().reshape(srgb.shape)


def _compute_differences(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the differences (..., 4) of two colors in CIELAB: in L*, a*, b* and in chroma, C* = sqrt(a*² + b*²)."""
    chroma = np.hypot(after[..., 1], after[..., 2]) - np.hypot(before[..., 1], before[..., 2])
    return np.concatenate([after - before, chroma[..., None]], axis=-1)


def _reduce(pixels: np.ndarray, encoding: Encoding) -> np.ndarray:
    """Reduce a picture to the size of the page: (h, w, 3) float32 sRGB in [0, 1]."""
    height = max(1, round(pixels.shape[0] * min(1.0, _LONG_SIDE / max(pixels.shape[:2]))))
    return encoding.to_srgb(np.nan_to_num(make_thumbnail(pixels, height)).clip(0, 1)).clip(0, 1)


def _to_unit_range(pixels: np.ndarray) -> np.ndarray:
    """Scale values of any depth to [0, 1]; brighter values, as in HDR pictures, are clipped."""
    whole = full_value(pixels.dtype)
    unit = pixels.astype(np.float32) / np.float32(whole)
    return np.asarray(np.nan_to_num(unit).clip(0, 1))
