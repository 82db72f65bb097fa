"""Pictures side by side for visual comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gknet.color.encoding import Encoding
from gknet.pixels.reduction import make_thumbnail

HEIGHT = 900
"""Largest height of a picture, pixels."""
_GAP = 12
_CAPTION = 40


def join_side_by_side(rows: Sequence[dict[str, np.ndarray]], encoding: Encoding | None = None) -> np.ndarray:
    """Return (H, W, 3) uint8 sRGB: each row's pictures side by side, each under its caption.

    rows: caption -> (H, W, C) as in `gknet.files.picture.Picture`; shown at most HEIGHT high.
    encoding: of their values, None for encoded sRGB.
    """
    drawn = [_draw_row(pictures, encoding or Encoding()) for pictures in rows]
    sheet = Image.new("RGB", (max(row.width for row in drawn), sum(row.height for row in drawn)), "white")
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    return np.asarray(sheet)


def _draw_row(pictures: dict[str, np.ndarray], encoding: Encoding) -> Image.Image:
    small = []
    for pixels in pictures.values():
        values = make_thumbnail(pixels, HEIGHT)
        small.append(np.rint(encoding.to_srgb(values.clip(0, 1)).clip(0, 1) * 255).astype(np.uint8))
    font = ImageFont.load_default(22)
    # A picture narrower than its caption gets the caption's room.
    rooms = [
        max(picture.shape[1], math.ceil(font.getlength(caption)) + 8)
        for caption, picture in zip(pictures, small, strict=True)
    ]
    width = sum(rooms) + _GAP * (len(small) - 1)
    height = max(picture.shape[0] for picture in small) + _CAPTION
    row = Image.new("RGB", (width, height), "white")
    pen, left = ImageDraw.Draw(row), 0
    for caption, picture, room in zip(pictures, small, rooms, strict=True):
        row.paste(Image.fromarray(picture), (left, _CAPTION))
        pen.text((left + 4, _CAPTION // 2), caption, fill="black", font=font, anchor="lm")
        left += room + _GAP
    return row


def split_into_rows(pictures: dict[str, np.ndarray], across: int) -> list[dict[str, np.ndarray]]:
    """Return captions and pictures in rows of at most `across`, for `join_side_by_side`."""
    captions = list(pictures)
    starts = range(0, len(captions), across)
    return [{caption: pictures[caption] for caption in captions[start : start + across]} for start in starts]
