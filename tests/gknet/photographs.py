"""A free photograph, what can go with it into a file, and the kinds of file to keep both in."""

from __future__ import annotations

import numpy as np
import pyvips
import skimage.data
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

WIDE_GAMUT = pyvips.Operation.call("profile_load", "p3")
SUFFIXES = (".png", ".jpg", ".tif", ".webp")


def photograph(name: str = "coffee", height: int = 201, width: int = 302) -> np.ndarray:
    """(height, width, 3) uint8; sides differ and are odd, so that a turn the wrong way shows."""
    return np.ascontiguousarray(getattr(skimage.data, name)()[:height, :width])


def exif() -> Image.Exif:
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x8298] = "Maker", "Model 5", "Anna"
    details = block.get_ifd(0x8769)
    details.update({0x9003: "2020:02:03 04:05:06", 0x829A: IFDRational(1, 320), 0x9204: IFDRational(-1, 3)})
    details.update({0x927C: b"NOTES\x00\x01\x02" * 9, 0xA434: "50mm lens"})
    block.get_ifd(0x8825).update({1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(15, 2))})
    return block
