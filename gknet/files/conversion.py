"""Conversion of pixels to another picture's encoding, and to the full range of 16 bits."""

from __future__ import annotations

import numpy as np

from gknet.color.encoding import Encoding, full_value
from gknet.color.luma import LUMA


def convert_pixels(pixels: np.ndarray, source: Encoding, target: Encoding, *, gray: bool) -> np.ndarray:
    """Convert pixels (h, w, 2 or 4) with straight alpha to another encoding, as float32; integers become [0, 1].

    gray: whether the result is (h, w, 2), the luma of encoded sRGB, or (h, w, 4).
    """
    if pixels.shape[2] == 2:
        pixels = pixels[:, :, [0, 0, 0, 1]]
    unit = pixels.astype(np.float32) / np.float32(full_value(pixels.dtype))
    colors = np.ascontiguousarray(unit[:, :, :3])
    if gray:
        luma = source.to_srgb(colors) @ np.array(LUMA, np.float32)[:, None]
        colors = target.from_srgb(np.repeat(luma, 3, axis=2))[:, :, :1]
    elif source != target:
        colors = target.from_srgb(source.to_srgb(colors))
    return np.concatenate([colors, unit[:, :, 3:]], axis=2)


def expand_limited(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Scale the colors of limited range in pixels (H, W, C) so that black is 0 and white the full value.

    pixels: uint8, or uint16 as from `expand_range`.   bits: of the stored values, 8 or more. Alpha is not changed.
    """
    colors = pixels.shape[2] - (pixels.shape[2] in (2, 4))
    full = np.float32(full_value(pixels.dtype))
    black, white = (np.float32((level << bits - 8) / (2**bits - 1)) for level in (16, 235))
    unit = (pixels[..., :colors] / full - black) / (white - black)
    expanded = np.rint(unit.clip(0, 1) * full).astype(pixels.dtype)
    return np.concatenate([expanded, pixels[..., colors:]], axis=2)


def expand_range(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Scale uint16 values of fewer bits, which decoders store in the upper bits, so that white is 65535."""
    levels: np.ndarray = np.rint((pixels >> (16 - bits)) * np.float32(65535 / (2**bits - 1))).astype(np.uint16)
    return levels
