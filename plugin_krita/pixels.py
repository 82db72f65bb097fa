"""Pixels as Krita keeps them and as the protocol wants them, without numpy."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress

STRIPE = 4 * 2**20
"""Bytes that are moved between two looks at the interface: some 20 ms."""


def stripes(height: int, row_bytes: int, most: int = STRIPE) -> Iterator[tuple[int, int]]:
    """(first row, number of rows) from the top down; each at most `most` bytes, but one row at least."""
    rows = max(1, most // max(1, row_bytes))
    for top in range(0, height, rows):
        yield top, min(rows, height - top)


def swap_red_and_blue(pixels: bytearray, depth: str) -> bytearray:
    """RGBA from Krita's BGRA and back, in place; pixels of `u8` or `u16`.   Returns the same bytes."""
    if depth == "u8":
        pixels[0::4], pixels[2::4] = pixels[2::4], pixels[0::4]
    else:
        # Two slices of one byte each are several times faster than one of two bytes through a memoryview.
        pixels[0::8], pixels[4::8] = pixels[4::8], pixels[0::8]
        pixels[1::8], pixels[5::8] = pixels[5::8], pixels[1::8]
    return pixels


def give_memory_back() -> None:
    """Returns to the system what the C library keeps of memory that is free: after a hidden copy as much as a layer."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
