"""Contact sheets of cases: the composite with its mask's outline, the result, and the ground truth if there is one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gknet.atomic import replace_file

SIDE = 224
"""Side of a picture on the sheet, in pixels."""
GAP = 4
MARGIN = 14
FONT_SIZE = 15
LINE = 19
COLUMNS = 2
"""Cases per row."""
JPEG_QUALITY = 85


class Tile(NamedTuple):
    """A case on the sheet.

    lines: text above the pictures; long lines are wrapped.
    mask: (H, W) bool.
    pictures: caption -> (H, W, 3) uint8; the mask is outlined on the first.
    """

    lines: Sequence[str]
    mask: np.ndarray
    pictures: dict[str, np.ndarray]


def write_sheet(path: Path, tiles: Sequence[Tile]) -> None:
    """Write a JPEG atomically. All tiles must have the same number of pictures, of any size.

    Raises OSError if the file can't be written.
    """
    drawn = [_draw_tile(tile) for tile in tiles]
    width, columns = drawn[0].width, min(COLUMNS, len(drawn))
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    sheet = Image.new("RGB", (columns * (width + MARGIN) + MARGIN, sum(heights) + MARGIN * (len(rows) + 1)), "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            # Align the pictures of a row, however many lines of text are above them.
            sheet.paste(tile, (MARGIN + column * (width + MARGIN), top + height - tile.height))
        top += height + MARGIN
    with replace_file(path) as unfinished:
        # No chroma subsampling, because the sheet is for comparing colours.
        sheet.save(unfinished, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _draw_tile(tile: Tile) -> Image.Image:
    font = ImageFont.load_default(FONT_SIZE)
    width = len(tile.pictures) * (SIDE + GAP) - GAP
    letters = int(width / font.getlength("abcdefghij") * 10)
    lines = [part for line in tile.lines for part in textwrap.wrap(line, letters) or [""]]
    top = LINE * len(lines) + GAP
    drawn = Image.new("RGB", (width, top + SIDE + LINE), "white")
    pen = ImageDraw.Draw(drawn)
    for number, line in enumerate(lines):
        pen.text((0, number * LINE), line, fill="black", font=font)
    for number, (caption, picture) in enumerate(tile.pictures.items()):
        left = number * (SIDE + GAP)
        shown = picture if number else _draw_outline(picture, tile.mask)
        drawn.paste(Image.fromarray(shown).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, top))
        pen.text((left, top + SIDE + 1), caption, fill="#555", font=font)
    return drawn


def _draw_outline(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw a white line just outside the mask and a black one around it, visible on any colour."""
    wide = _dilate(mask)
    shown = picture.copy()
    shown[_dilate(wide) & ~wide] = 0
    shown[wide & ~mask] = 255
    return shown


def _dilate(mask: np.ndarray) -> np.ndarray:
    """Return the mask dilated by its neighbours above, below, left and right."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
