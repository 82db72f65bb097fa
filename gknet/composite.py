"""Placing a layer over its background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyvips

from gknet.color.encoding import full_value
from gknet.errors import InputError, UnsupportedError
from gknet.files.conversion import convert_pixels
from gknet.files.picture import MAX_PIXELS, Picture
from gknet.pixels.box import Box, outside_error
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


def has_colors(pixels: np.ndarray) -> bool:
    """Return whether a visible pixel of a cut-out (h, w, 2 or 4), straight alpha, is not gray."""
    if pixels.shape[2] == 2:
        return False
    for top in range(0, len(pixels), _STRIP):
        strip = pixels[top : top + _STRIP]
        differs = (strip[..., 0] != strip[..., 1]) | (strip[..., 0] != strip[..., 2])
        if (differs & (strip[..., 3] > 0)).any():
            return True
    return False


def check_scale(layer: np.ndarray, factor: float) -> None:
    """Raise InputError if a factor makes a layer (h, w, C) smaller than a pixel or larger than MAX_PIXELS."""
    if factor * max(layer.shape[:2]) > MAX_PIXELS or layer.shape[0] * layer.shape[1] * factor**2 > MAX_PIXELS:
        raise InputError(f"Scale {factor} makes the foreground too large.", "Choose a smaller scale.")
    if not factor > 0 or min(layer.shape[:2]) * factor < 1:
        raise InputError(f"Scale {factor} makes the foreground smaller than a pixel.", "Choose a larger scale.")


@vips_session()
def scale_onto_canvas(
    layer: np.ndarray, factor: float, at: tuple[int, int], canvas: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the part of a resized layer that lies on the canvas, and the (x, y) of that part's top left corner.

    Only that part is computed, so time and memory do not grow with the factor. With a factor of 1, the whole layer is
    returned.
    layer: (h, w, 4), or gray (h, w, 2), straight alpha last; uint8, uint16 or float32, which is kept.
    at: (x, y) of the resized layer's top left corner on the canvas, pixels.   canvas: (width, height).
    Raises InputError as `check_scale`, NoForegroundError if nothing of the layer is on the canvas.
    """
    check_scale(layer, factor)
    if factor == 1:
        _intersect(layer.shape[1], layer.shape[0], at, canvas)
        return layer, at
    full = full_value(layer.dtype)
    image: Any = pyvips.Image.new_from_array(np.ascontiguousarray(layer))
    # Premultiplied, so that colors under transparent pixels do not bleed into the edge.
    image = image.cast("float").premultiply(max_alpha=full)
    image = image.resize(factor, kernel="lanczos3").unpremultiply(max_alpha=full)
    box = _intersect(image.width, image.height, at, canvas)
    # libvips computes only the pixels that are read.
    pixels: np.ndarray = np.asarray(image.crop(box.left - at[0], box.top - at[1], box.width, box.height).numpy())
    if layer.dtype == np.float32:
        pixels[:, :, -1] = pixels[:, :, -1].clip(0, 1)
    else:
        pixels = np.rint(pixels).clip(0, full).astype(layer.dtype)
    if not pixels[:, :, -1].any() and layer[:, :, -1].any():
        raise outside_error()
    return pixels, (box.left, box.top)


def _intersect(width: int, height: int, at: tuple[int, int], canvas: tuple[int, int]) -> Box:
    """Return the part of the canvas that a layer at (x, y) covers. Raises NoForegroundError if there is none."""
    box = Box(*at, width, height).intersect(Box(0, 0, *canvas))
    if box is None:
        raise outside_error()
    return box


def paste(layer: np.ndarray, background: np.ndarray, at: tuple[int, int]) -> np.ndarray:
    """Return the background with the layer over it at (x, y): alpha F + (1 - alpha) B; a new array.

    layer: (h, w, 4) straight alpha.   background: (H, W, 3 or 4); or, gray, (h, w, 2) and (H, W, 1 or 2); both of
    one type. Where the layer is transparent or absent, the result equals the background bit for bit.
    Raises NoForegroundError if the two do not overlap.
    """
    box = _intersect(layer.shape[1], layer.shape[0], at, (background.shape[1], background.shape[0]))
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
