"""A layer laid over its background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyvips

from gknet.errors import BadRequest, NoForeground, Unsupported
from gknet.picture import Picture
from gknet.profile import from_srgb, to_srgb
from gknet.reduction import Box

_STRIP = 256


def matching(cutout: Picture, background: Picture) -> np.ndarray:
    """The cut-out's pixels in the background's depth and colour profile, (h, w, 4), or (h, w, 2) if that is gray.

    Raises Unsupported for a cut-out without transparency.
    """
    pixels = cutout.pixels
    if pixels.shape[2] not in (2, 4):
        raise Unsupported("The foreground has no transparency.", "Cut the object out and save it as PNG.")
    gray = background.pixels.shape[2] < 3
    if pixels.shape[2] == 2 and not gray:
        pixels = pixels[:, :, [0, 0, 0, 1]]
    same = cutout.profile == background.profile and pixels.dtype == background.pixels.dtype
    if same and gray == (pixels.shape[2] == 2):
        return pixels
    if pixels.shape[2] == 2:
        pixels = pixels[:, :, [0, 0, 0, 1]]
    unit = pixels.astype(np.float32) / (1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max)
    colours = unit[:, :, :3]
    if cutout.profile != background.profile:
        colours = from_srgb(to_srgb(np.ascontiguousarray(colours), cutout.profile), background.profile)
    if gray:
        colours = colours @ np.array([[0.299], [0.587], [0.114]], np.float32)
    unit = np.concatenate([colours, unit[:, :, -1:]], axis=2)
    if background.pixels.dtype.kind == "f":
        return unit
    full = np.iinfo(background.pixels.dtype).max
    whole: np.ndarray = np.rint(unit.clip(0, 1) * full).astype(background.pixels.dtype)
    return whole


def scaled(layer: np.ndarray, factor: float) -> np.ndarray:
    """The layer (h, w, 4), straight alpha, at another size; uint8, uint16 or float32 stays what it is.

    Raises BadRequest if the factor is not above 0 or nothing would be left.
    """
    if factor == 1:
        return layer
    if not factor > 0 or min(layer.shape[:2]) * factor < 1:
        raise BadRequest(f"A scale of {factor} leaves nothing of the foreground.", "Choose a larger one.")
    full = 1.0 if layer.dtype == np.float32 else float(np.iinfo(layer.dtype).max)
    image: Any = pyvips.Image.new_from_array(np.ascontiguousarray(layer))
    # Premultiplied, so that colours under transparent pixels do not bleed into the edge.
    image = image.cast("float").premultiply(max_alpha=full)
    image = image.resize(factor, kernel="lanczos3").unpremultiply(max_alpha=full)
    pixels: np.ndarray = np.asarray(image.numpy())
    if layer.dtype == np.float32:
        pixels[:, :, 3] = pixels[:, :, 3].clip(0, 1)
        return pixels
    whole: np.ndarray = np.rint(pixels).clip(0, full).astype(layer.dtype)
    return whole


def paste(layer: np.ndarray, background: np.ndarray, at: tuple[int, int]) -> np.ndarray:
    """The background with the layer over it at (x, y): alpha F + (1 - alpha) B; a new array.

    layer: (h, w, 4) straight alpha.   background: (H, W, 3 or 4); or, gray, (h, w, 2) and (H, W, 1 or 2); both of
    one type. What the layer's alpha does not reach equals the background bit for bit.
    Raises NoForeground if the two do not meet.
    """
    height, width = layer.shape[:2]
    box = Box(at[0], at[1], width, height).within(Box(0, 0, background.shape[1], background.shape[0]))
    if box is None:
        raise NoForeground("The foreground lies beside the background.", "Move it over the picture.")
    result = background.copy()
    for top in range(box.top, box.bottom, _STRIP):
        rows = slice(top, min(top + _STRIP, box.bottom))
        above = layer[rows.start - at[1] : rows.stop - at[1], box.left - at[0] : box.right - at[0]]
        below = result[rows, box.left : box.right]
        below[...] = np.where(above[:, :, -1:] > 0, _over(above, below), below)
    return result


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Porter and Duff's "over" for straight alpha, in the channels and type of what lies below."""
    floating = below.dtype.kind == "f"
    full = np.float32(1 if floating else np.iinfo(below.dtype).max)
    colours = above.shape[2] - 1
    alpha = above[:, :, colours:].astype(np.float32) / full  # (h, w, 1)
    has_alpha = below.shape[2] > colours
    under = (1 - alpha) * (below[:, :, colours:].astype(np.float32) / full if has_alpha else 1)
    covered = alpha + under
    mixed = above[:, :, :colours].astype(np.float32) * alpha + below[:, :, :colours].astype(np.float32) * under
    mixed = np.divide(mixed, covered, out=mixed, where=covered > 0)
    if has_alpha:
        mixed = np.concatenate([mixed, covered * full], axis=2)
    return (mixed if floating else np.rint(mixed)).astype(below.dtype)
