"""Pictures next to one another, for people who would rather look than read."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gknet.picture import to_srgb
from gknet.reduction import thumbnail

_HEIGHT = 900
_GAP = 12
_CAPTION = 40


def side_by_side(pictures: dict[str, np.ndarray], profile: bytes | None = None) -> Image.Image:
    """One RGB image of all pictures in a row, each under its caption.

    pictures: caption -> (H, W, C) as `gknet.picture.Picture` has them, at least one; shown at most 900 px high.
    profile: their ICC profile, None for sRGB.
    """
    small = []
    for pixels in pictures.values():
        values = thumbnail(pixels, _HEIGHT)
        small.append(np.rint(to_srgb(values.clip(0, 1), profile) * 255).astype(np.uint8))
    width = sum(picture.shape[1] for picture in small) + _GAP * (len(small) - 1)
    height = max(picture.shape[0] for picture in small) + _CAPTION
    sheet = Image.new("RGB", (width, height), "white")
    pen, left = ImageDraw.Draw(sheet), 0
    font = ImageFont.load_default(22)
    for caption, picture in zip(pictures, small, strict=True):
        sheet.paste(Image.fromarray(picture), (left, _CAPTION))
        pen.text((left + 4, _CAPTION // 2), caption, fill="black", font=font, anchor="lm")
        left += picture.shape[1] + _GAP
    return sheet
