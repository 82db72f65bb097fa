"""Reduction of composites and masks to the network's input size, averaged over the area of each small pixel.

libvips works in strips, so that no float copy of the whole picture is ever made.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gknet.color.encoding import Encoding, to_unit_range
from gknet.pixels.box import Box
from gknet.pixels.pixels import max_alpha
from gknet.vips import vips_session


class Sight(NamedTuple):
    """The network's input: a window of the canvas at network size, encoded sRGB.

    composite: (h, w, 3) float32 in [0, 1].   mask: (h, w) float32 in [0, 1].   foreground: (h, w, 3) float32,
    the straight mean color of the foreground, the composite's where there is none.
    window: the part of the canvas that it covers, in full-resolution pixels.
    """

    composite: np.ndarray
    mask: np.ndarray
    foreground: np.ndarray
    window: Box

    def locate(self, box: Box) -> tuple[float, float, float, float]:
        """Convert a box of the canvas to this input's pixels: left, top, width, height."""
        down = self.mask.shape[0] / self.window.height
        across = self.mask.shape[1] / self.window.width
        left, top = box.left - self.window.left, box.top - self.window.top
        return (left * across, top * down, box.width * across, box.height * down)


@vips_session()
def reduce_masked(
    rgb: np.ndarray, mask: np.ndarray, box: Box, window: Box, size: tuple[int, int], encoding: Encoding
) -> Sight:
    """Reduce a composite (H, W, 3 or 4) and its mask (H, W) to size (h, w).   box: contains all of the mask above 0.

    The mask is scaled so that its maximum is 1: the network expects whole objects, not parts of a change.
    """
    picture, alpha = encoding.to_display(rgb), to_unit_range(mask) * (1 / max_alpha(mask))
    if picture.bands == 4:  # fully transparent pixels may hold any value, even NaN
        picture = (picture[3] > 0).ifthenelse(picture, 0.0)
    # The composite's alpha is kept along: splitting bands is slow in libvips.
    inside = _shrink((picture * alpha).bandjoin(alpha), window, size, box)
    return _make_sight(_shrink(picture, window, size)[:, :, :3], inside[:, :, :3], inside[:, :, -1], window)


@vips_session()
def reduce_layer(
    layer: np.ndarray,
    background: np.ndarray,
    box: Box,
    shown: Box,
    canvas: Box,
    window: Box,
    size: tuple[int, int],
    *,
    encoding: Encoding,
    below_encoding: Encoding,
    selection: np.ndarray | None = None,
    opacity: float = 1.0,
) -> Sight:
    """Reduce a layer (h', w', 3 or 4) with straight alpha over its background to size (h, w).

    The layer is scaled to an alpha of 1 at its most opaque pixel, whatever its opacity. Where the scene shines through,
    an object already has half of the scene's colors, and the network would leave it alone.
    background: (H, W, 3), the whole canvas, at its own size or reduced.   box: the layer's, on the canvas.
    shown: contains all of the layer that is visible on the canvas.
    selection: (h', w') uint8, the part of the layer that is the foreground. The rest is part of the scene, at
    `opacity`.
    """
    below = below_encoding.to_display(background)
    most = max_alpha(layer[..., 3], selection) if layer.shape[2] == 4 else 1.0
    foreground = above = _premultiply(layer, encoding) * (1 / most)
    if selection is not None:
        part = to_unit_range(selection)
        foreground = above * part
        if most * opacity < 1:
            above = above * (part + (1 - part) * (most * opacity))

    def place_and_shrink(picture: Any) -> np.ndarray:
        placed = picture.embed(box.left, box.top, canvas.width, canvas.height)
        return _shrink(placed, window, size, shown)

    over = place_and_shrink(above)  # (h, w, 4)
    chosen = over if selection is None else place_and_shrink(foreground)
    if (below.width, below.height) == (canvas.width, canvas.height):
        # Per pixel, and only where the layer is: the part of the scene that the layer hides.
        hidden = _shrink(below * above[3].embed(box.left, box.top, canvas.width, canvas.height), window, size, shown)
        composite = over[:, :, :3] + _shrink(below, window, size) - hidden
        return _make_sight(composite, chosen[:, :, :3], chosen[:, :, 3], window)
    across, down = size[1] / window.width, size[0] / window.height
    whole = (round(canvas.width * across), round(canvas.height * down))
    kernel = _choose_kernel(below.width, whole[0])
    scene = below.resize(whole[0] / below.width, vscale=whole[1] / below.height, kernel=kernel)
    left = min(round(window.left * across), scene.width - size[1])
    top = min(round(window.top * down), scene.height - size[0])
    scene = np.asarray(scene.crop(left, top, size[1], size[0]).numpy(), dtype=np.float32)
    composite = over[:, :, :3] + scene * (1 - over[:, :, 3:])
    return _make_sight(composite, chosen[:, :, :3], chosen[:, :, 3], window)


@vips_session()
def reduce_visible_and_hidden(
    layer: np.ndarray, box: Box, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reduce a box of a layer (h', w', C) with straight alpha last to size (h, w), without converting colors.

    Returns float32: colors (h, w, C - 1) of pixels with alpha above 0, 0 where there are none; colors of fully
    transparent pixels, 0 where there are none; alpha (h, w) of the visible pixels; the share (h, w) of visible pixels.
    """
    picture = to_unit_range(layer)
    count = picture.bands - 1
    shows = (picture[count] > 0) / 255
    # Fully transparent pixels may hold any value, even NaN.
    above = (shows > 0).ifthenelse(picture, 0.0).bandjoin(shows)
    below = (shows > 0).ifthenelse(0.0, picture[0:count])
    both = _shrink(above.bandjoin(below), box, size)
    share = both[..., count + 1].clip(0, 1)
    visible = both[..., : count + 1] / share.clip(1e-6, 1)[..., None]
    with np.errstate(invalid="ignore"):
        hidden = np.nan_to_num(both[..., count + 2 :] / (1 - share).clip(1e-6, 1)[..., None], posinf=0, neginf=0)
    return visible[..., :count], hidden, visible[..., count].clip(0, 1), share


@vips_session()
def make_thumbnail(pixels: np.ndarray, height: int) -> np.ndarray:
    """Return any picture (H, W, 1 to 4) as (h, w, 3) float32 of at most this height, transparent areas over white."""
    picture = to_unit_range(pixels)
    if picture.bands in (2, 4):
        alpha = picture[picture.bands - 1]
        picture = picture[0 : picture.bands - 1] * alpha + (1 - alpha)
    if picture.bands == 1:
        picture = picture.bandjoin([picture, picture])
    if picture.height > height:
        picture = picture.resize(height / picture.height, kernel="linear")
    return np.asarray(picture.numpy(), dtype=np.float32)


def _make_sight(composite: np.ndarray, premultiplied: np.ndarray, alpha: np.ndarray, window: Box) -> Sight:
    mask = alpha.clip(0, 1)
    foreground = np.where(mask[:, :, None] > 1e-6, premultiplied / mask[:, :, None].clip(1e-6, 1), composite)
    foreground = foreground.astype(np.float32)
    return Sight(np.ascontiguousarray(composite), np.ascontiguousarray(mask), foreground, window)


def _shrink(picture: Any, window: Box, size: tuple[int, int], box: Box | None = None) -> np.ndarray:
    """Reduce a window of a libvips picture to size (h, w): (h, w, bands) float32.

    box: on the canvas; the picture is black outside of it, so that only this part needs to be computed.
    """
    height, width = size
    part = picture.crop(*window)
    small = part.resize(width / window.width, vscale=height / window.height, kernel=_choose_kernel(part.width, width))
    if (small.height, small.width) != size:  # depends on libvips's rounding
        raise AssertionError(f"reduced to {(small.height, small.width)} instead of {size}")
    if box is None:
        return np.asarray(small.numpy(), dtype=np.float32)
    across, down = width / window.width, height / window.height
    # The kernel reads slightly beyond a small pixel's own area.
    left = min(max(0, math.floor((box.left - window.left) * across) - 2), width - 1)
    top = min(max(0, math.floor((box.top - window.top) * down) - 2), height - 1)
    right = max(left + 1, min(width, math.ceil((box.right - window.left) * across) + 2))
    bottom = max(top + 1, min(height, math.ceil((box.bottom - window.top) * down) + 2))
    values = np.zeros((height, width, picture.bands), np.float32)
    values[top:bottom, left:right] = small.crop(left, top, right - left, bottom - top).numpy()
    return values


def _choose_kernel(before: int, after: int) -> str:
    """Return the name of libvips's resampling kernel: cubic enlarges with less blur."""
    return "cubic" if after > before else "linear"


def _premultiply(pixels: np.ndarray, encoding: Encoding) -> Any:
    """Return a libvips picture of four float bands for (h, w, 3 or 4) with straight alpha: premultiplied color and
    alpha.
    """
    picture = encoding.to_display(pixels)
    if picture.bands == 3:
        return picture.bandjoin(1.0)
    if pixels.dtype.kind == "f":  # fully transparent pixels may hold any value, even NaN
        picture = (picture[3] > 0).ifthenelse(picture, 0.0)
    return picture.premultiply(max_alpha=1.0)
