"""Conversions between Krita's pixels and the protocol's, without numpy."""

from __future__ import annotations

from collections.abc import Iterator

from .qt import QtGui

STRIPE = 2 * 2**20
"""Bytes handled between two updates of the interface: a few ms of work that fits the CPU's cache."""


def split_stripes(height: int, row_bytes: int, most: int = STRIPE) -> Iterator[tuple[int, int]]:
    """Yield (first row, number of rows) from top to bottom: at most `most` bytes each, but at least one row."""
    rows = max(1, most // max(1, row_bytes))
    for top in range(0, height, rows):
        yield top, min(rows, height - top)


def swap_red_and_blue(pixels: bytes | bytearray, depth: str) -> bytes | bytearray:
    """Return RGBA for Krita's BGRA or the reverse; pixels of `u8` or `u16`."""
    if depth == "u8":
        count = len(pixels) // 4
        line = QtGui.QImage(pixels, count, 1, 4 * count, QtGui.QImage.Format.Format_RGBA8888)
        swapped = line.rgbSwapped()
        return bytes(swapped.constBits().asstring(len(pixels)))
    # Qt does not swap deeper pixels. Two slices of one byte are several times faster than one of two in a memoryview.
    mixed = bytearray(pixels)
    mixed[0::8], mixed[4::8] = mixed[4::8], mixed[0::8]
    mixed[1::8], mixed[5::8] = mixed[5::8], mixed[1::8]
    return mixed
