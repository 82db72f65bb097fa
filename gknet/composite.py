"""Placing a layer over its background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyvips

from gknet.color.encoding import full_value
from gknet.errors import InputError, NoForegroundError, UnsupportedError
from gknet.files.conversion import convert_pixels
from gknet.files.picture import MAX_PIXELS, Picture
from gknet.pixels.box import Box
from gknet.vips import vips_session

_STRIP = 256


def match_background(cutout: Picture, background: Picture) -> np.ndarray:
    """Convert the cut-out's pixels to the background's depth and profile: (h, w, 4), or (h, w, 2) if that is gray.

    Raises UnsupportedError for a cut-out without transparency.
    """
    pixels = cutout.pixels
    if pixels.shape[2] not in (2, 4):
        raise UnsupportedError("The foreground has no alpha channel.", "Cut out the object and save it as PNG.")
    depth, gray = background.pixels.dtype, background.pixels.shape[2] < 3
    source, target = cutout.encoding, background.encoding
    same = source == target and pixels.dtype == depth
    if same and gray == (pixels.shape[2] == 2):
        return pixels
    result = np.empty((*pixels.shape[:2], 2 if gray else 4), depth)
    full = full_value(depth)
    for top in range(0, len(pixels), _STRIP):
        unit = convert_pixels(pixels[top : top + _STRIP], source, target, gray=gray)
        result[top : top + _STRIP] = unit if full == 1 else np.rint(unit.clip(0, 1) * full)
    return result


@vips_session()
def scale_layer(layer: np.ndarray, factor: float) -> np.ndarray:
    """Resize a layer (h, w, 4), or gray (h, w, 2), straight alpha last; its type is kept.

    layer: uint8, uint16 or float32. Raises InputError if the result would be empty or too large to be read back.
    """
    if factor == 1:
        return layer
    if factor * max(layer.shape[:2]) > MAX_PIXELS or layer.shape[0] * layer.shape[1] * factor**2 > MAX_PIXELS:
        raise InputError(f"Scale {factor} makes the foreground too large.", "Choose a smaller scale.")
    if not factor > 0 or min(layer.shape[:2]) * factor < 1:
        raise InputError(f"Scale {factor} makes the foreground smaller than a pixel.", "Choose a larger scale.")
    full = full_value(layer.dtype)
    image: Any = pyvips.Image.new_from_array(np.ascontiguousarray(layer))
    # Premultiplied, so that colors under transparent pixels do not bleed into the edge.
    image = image.cast("float").premultiply(max_alpha=full)
    image = image.resize(factor, kernel="lanczos3").unpremultiply(max_alpha=full)
    pixels: np.ndarray = np.asarray(image.numpy())
    if layer.dtype == np.float32:
        pixels[:, :, -1] = pixels[:, :, -1].clip(0, 1)
        return pixels
    whole: np.ndarray = np.rint(pixels).clip(0, full).astype(layer.dtype)
    return whole


def paste(layer: np.ndarray, background: np.ndarray, at: tuple[int, int]) -> np.ndarray:
    """Return the background with the layer over it at (x, y): alpha F + (1 - alpha) B; a new array.

    layer: (h, w, 4) straight alpha.   background: (H, W, 3 or 4); or, gray, (h, w, 2) and (H, W, 1 or 2); both of
    one type. Where the layer is transparent or absent, the result equals the background bit for bit.
    Raises NoForegroundError if the two do not overlap.
    """
    height, width = layer.shape[:2]
    box = Box(at[0], at[1], width, height).intersect(Box(0, 0, background.shape[1], background.shape[0]))
    if box is None:
        raise NoForegroundError("The foreground is entirely outside the background.", "Move it over the picture.")
    result = background.copy()
    for top in range(box.top, box.bottom, _STRIP):
        rows = slice(top, min(top + _STRIP, box.bottom))
        above = layer[rows.start - at[1] : rows.stop - at[1], box.left - at[0] : box.right - at[0]]
        below = result[rows, box.left : box.right]
        below[...] = np.where(above[:, :, -1:] > 0, _blend_rows(above, below), below)
    return result


def _blend_rows(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Apply Porter and Duff's "over" for straight alpha, in the channels and type of the rows below."""
    floating = below.dtype.kind == "f"
    full = np.float32(full_value(below.dtype))
    colors = above.shape[2] - 1
    alpha = above[:, :, colors:].astype(np.float32) / full  # (h, w, 1)
    has_alpha = below.shape[2] > colors
    under = (1 - alpha) * (below[:, :, colors:].astype(np.float32) / full if has_alpha else 1)
    covered = alpha + under
    mixed = above[:, :, :colors].astype(np.float32) * alpha + below[:, :, :colors].astype(np.float32) * under
    mixed = np.divide(mixed, covered, out=mixed, where=covered > 0)
    if has_alpha:
        mixed = np.concatenate([mixed, covered * full], axis=2)
    return (mixed if floating else np.rint(mixed)).astype(below.dtype)
