"""The flattened picture that Photoshop stores beside the layers: shows whether psd-tools draws them as Photoshop does.

Photoshop stores it with "Maximize Compatibility", other programs always.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gknet.color.encoding import full_value
from gknet.errors import PictureError
from gknet.files.codecs.photoshop import translate_errors

_SIDE = 512  # the longest that is compared: smoothed edges, which every program draws differently, average out
_SLIGHT = 2  # levels of 255: rounding stays below
_STRONG, _STRONG_SHARE = 16, 0.005
"""Levels of 255, and the share of the picture that may differ by more."""


def compare_with_stored(path: Path, document: Any, drawn: np.ndarray) -> list[str]:
    """Return a note if a drawing of a psd-tools document differs visibly from the picture stored in its file.

    drawn: (H, W, 1 to 4) uint8 or uint16, the whole canvas in the document's profile, straight alpha.
    A file that stores no picture, or a blank one, gets no note.
    """
    try:
        with translate_errors(path):
            image = document.topil(apply_icc=False)  # None if the file says that it stores none
            if image is None:
                return []
            stored = np.atleast_3d(np.array(image))
    except PictureError:
        return ["the flattened picture in the file is damaged, so the drawing of the layers is not checked against it"]
    if all(low == high for low, high in np.atleast_2d(image.getextrema())):
        return []
    if stored.shape[2] in (1, 3) and drawn.shape[2] in (2, 4):
        stored[drawn[..., -1] == 0] = 255  # without alpha, anything may be stored where the layers are transparent
    difference = np.abs(_reduce_over_white(drawn) - _reduce_over_white(stored)).max(axis=2)
    if difference.mean() <= _SLIGHT and (difference > _STRONG).mean() <= _STRONG_SHARE:
        return []
    differs = difference > _SLIGHT
    share, levels = max(1, round(100 * differs.mean())), round(float(difference[differs].mean()))
    return [
        f"{share} % of the picture is drawn differently from Photoshop, by {levels} of 255 levels on average: "
        "first rasterize or merge layers there, except the object's"
    ]


def _reduce_over_white(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, C) with straight alpha over white, reduced to (h, w, 1 or 3) float32 in 0 to 255.

    Over white, because Photoshop stores colors so.
    """
    high, wide = (-(-side // _SIDE) for side in pixels.shape[:2])
    rows, columns = pixels.shape[0] // high, pixels.shape[1] // wide
    colors = 1 if pixels.shape[2] < 3 else 3
    reduced = np.empty((rows, columns, colors), np.float32)
    scale = np.float32(1 / full_value(pixels.dtype))
    for row in range(rows):  # one at a time, because floats take up to four times the memory
        unit = pixels[row * high : (row + 1) * high, : columns * wide].astype(np.float32) * scale
        if unit.shape[2] > colors:
            unit = 1 + (unit[..., :colors] - 1) * unit[..., colors:]
        reduced[row] = unit.reshape(high, columns, wide, colors).mean(axis=(0, 2)) * 255
    return reduced
