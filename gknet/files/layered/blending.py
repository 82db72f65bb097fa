"""Blending of layers by OpenRaster's operators (W3C, Compositing and Blending Level 1).

libvips implements most of these, but blends half-covered pixels too strongly, by up to a quarter of the range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Colors = npt.NDArray[np.float32]
"""(h, w, 3)."""

_LUMA = np.array([0.3, 0.59, 0.11], np.float32)


def blend_over(below: np.ndarray, above: np.ndarray, operator: str) -> np.ndarray:
    """Blend one layer over another. Both are (h, w, 4) float32 with straight alpha, as is the result.

    An unknown operator acts as "svg:src-over". Where `above` is transparent, `below` is kept bit for bit, except with
    the operators in CUTTING.
    """
    colors, backdrop = above[..., :3], below[..., :3]
    alpha, under = above[..., 3:], below[..., 3:]
    if operator in _COVERAGES:
        weights = _COVERAGES[operator](alpha, under)
        mixed, covered = weights[0] * colors + weights[1] * backdrop, weights[0] + weights[1]
    else:
        blended = _BLENDS.get(operator, _normal)(backdrop, colors)
        covered = alpha + under * (1 - alpha)
        mixed = alpha * (1 - under) * colors + alpha * under * blended + (1 - alpha) * under * backdrop
    straight = np.divide(mixed, covered, out=np.zeros_like(mixed), where=covered > 0)
    result = np.concatenate([straight, covered.clip(0, 1)], axis=2)
    return result if operator in CUTTING else np.where(alpha > 0, result, below)


def is_known(operator: str) -> bool:
    """Whether an operator is supported."""
    return operator == "svg:src-over" or operator in _BLENDS or operator in _COVERAGES


# Porter and Duff's operators: weights of the layer and of the layers below, premultiplied.
_COVERAGES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "svg:plus": lambda alpha, under: (alpha, under),
    "svg:dst-in": lambda alpha, under: (np.zeros_like(alpha), under * alpha),
    "svg:dst-out": lambda alpha, under: (np.zeros_like(alpha), under * (1 - alpha)),
    "svg:src-atop": lambda alpha, under: (alpha * under, under * (1 - alpha)),
    "svg:dst-atop": lambda alpha, under: (alpha * (1 - under), under * alpha),
}
CUTTING = ("svg:dst-in", "svg:dst-atop")
"""Operators that remove the layers below where the layer is transparent."""


def _normal(_: Colors, colors: Colors) -> Colors:
    return colors


def _multiply(backdrop: Colors, colors: Colors) -> Colors:
    return backdrop * colors


def _screen(backdrop: Colors, colors: Colors) -> Colors:
    return backdrop + colors - backdrop * colors


def _hard_light(backdrop: Colors, colors: Colors) -> Colors:
    return np.where(colors <= 0.5, _multiply(backdrop, 2 * colors), _screen(backdrop, 2 * colors - 1))


def _dodge(backdrop: Colors, colors: Colors) -> Colors:
    return np.where(backdrop > 0, np.minimum(1, backdrop / np.maximum(1 - colors, 1e-6)), 0)


def _burn(backdrop: Colors, colors: Colors) -> Colors:
    return np.where(backdrop < 1, 1 - np.minimum(1, (1 - backdrop) / np.maximum(colors, 1e-6)), 1)


def _soft_light(backdrop: Colors, colors: Colors) -> Colors:
    root = np.where(backdrop <= 0.25, ((16 * backdrop - 12) * backdrop + 4) * backdrop, np.sqrt(backdrop.clip(0)))
    darker = backdrop - (1 - 2 * colors) * backdrop * (1 - backdrop)
    return np.where(colors <= 0.5, darker, backdrop + (2 * colors - 1) * (root - backdrop))


def _luma(colors: Colors) -> np.ndarray:
    return colors @ _LUMA[:, None]


def _set_luma(colors: Colors, luma: np.ndarray) -> Colors:
    """Set the luma of colors, then move them towards gray as far as needed to stay in 0..1."""
    moved = colors + luma - _luma(colors)
    low, high = moved.min(axis=2, keepdims=True), moved.max(axis=2, keepdims=True)
    scale = np.ones_like(luma)
    np.divide(luma, luma - low, out=scale, where=low < 0)
    np.minimum(scale, np.divide(1 - luma, high - luma, out=np.ones_like(luma), where=high > 1), out=scale)
    result: Colors = luma + (moved - luma) * scale
    return result


def _set_saturation(colors: Colors, like: Colors) -> Colors:
    """Scale colors so that their minimum is 0 and their maximum is the saturation of `like`."""
    low, spread = colors.min(axis=2, keepdims=True), np.ptp(colors, axis=2, keepdims=True)
    unit = np.divide(colors - low, spread, out=np.zeros_like(colors), where=spread > 0)
    result: Colors = unit * np.ptp(like, axis=2, keepdims=True)
    return result


_BLENDS: dict[str, Callable[[Colors, Colors], Colors]] = {
    "svg:multiply": _multiply,
    "svg:screen": _screen,
    "svg:overlay": lambda backdrop, colors: _hard_light(colors, backdrop),
    "svg:darken": np.minimum,
    "svg:lighten": np.maximum,
    "svg:color-dodge": _dodge,
    "svg:color-burn": _burn,
    "svg:hard-light": _hard_light,
    "svg:soft-light": _soft_light,
    "svg:difference": lambda backdrop, colors: np.abs(backdrop - colors),
    "svg:color": lambda backdrop, colors: _set_luma(colors, _luma(backdrop)),
    "svg:luminosity": lambda backdrop, colors: _set_luma(backdrop, _luma(colors)),
    "svg:hue": lambda backdrop, colors: _set_luma(_set_saturation(colors, backdrop), _luma(backdrop)),
    "svg:saturation": lambda backdrop, colors: _set_luma(_set_saturation(backdrop, colors), _luma(backdrop)),
}
