"""Conversion between PIL images and arrays."""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile

from gknet.errors import PictureError, UnsupportedError
from gknet.files.metadata.exif import clean_exif
from gknet.files.metadata.resources import THUMBNAILS
from gknet.files.metadata.xmp import clean_xmp
from gknet.files.statements import colors, heif, jpeg, png

_OTHER_PICTURES = ("mp", "mpoffset", "thumbnails", "depth_images", "aux")
_MODES = {
    "L": np.uint8,
    "LA": np.uint8,
    "RGB": np.uint8,
    "RGBA": np.uint8,
    "I;16": np.uint16,
    "F": np.float32,
}
_FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "AVIF": "heif", "HEIF": "heic"}


def from_pillow(image: Image.Image) -> np.ndarray:
    """Return an image's pixels, (H, W) or (H, W, C). Raises UnsupportedError if `to_pillow` cannot restore its mode."""
    if image.mode not in _MODES:
        convert = "convert('I').convert('I;16')" if image.mode.startswith("I") else "convert('RGB')"
        raise UnsupportedError(f"Unsupported image mode {image.mode}.", f"Convert the image first: image.{convert}.")
    try:
        return np.asarray(image)
    except (OSError, ValueError) as error:  # a damaged file is only noticed now; a closed one has no pixels
        raise PictureError(f"The image cannot be read: {error}.", "Open it again, or use another copy.") from error


def to_pillow(pixels: np.ndarray, like: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an image with the mode and metadata of `like`, and a profile unless it is None."""
    image = Image.fromarray(pixels)
    assert image.mode == like.mode, f"{image.mode} is not {like.mode}"
    image.info.update(_clean_info(like.info))
    if profile is not None:
        image.info["icc_profile"] = profile
    return image


def _clean_info(info: dict[Any, Any]) -> dict[Any, Any]:
    """Return an image's info from Pillow or pillow-heif, without thumbnails and other copies of the old picture."""
    cleaned = {name: value for name, value in info.items() if name not in _OTHER_PICTURES}
    if exif := info.get("exif"):
        cleaned["exif"] = b"Exif\0\0" + clean_exif(exif)
    for name in ("xmp", "XML:com.adobe.xmp"):
        if packet := info.get(name):
            clean = clean_xmp(packet.encode() if isinstance(packet, str) else packet)
            cleaned[name] = clean.decode("utf-8", "replace") if isinstance(packet, str) else clean
    if resources := info.get("photoshop"):
        cleaned["photoshop"] = {number: value for number, value in resources.items() if number not in THUMBNAILS}
    return cleaned


def find_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile of an image's values, by the same rule as for files (`gknet.files.statements.colors`).

    Call it before the pixels are read, which closes the image's file. Raises UnsupportedError.
    """
    statement, embedded = _read_statement_and_profile(image)
    profile = _choose_profile(image, embedded)
    if profile is None and isinstance(statement, dict):  # not the PNG's own, which the user has removed
        statement = {kind: content for kind, content in statement.items() if kind != b"iCCP"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tags = image.getexif()
        except Exception:  # damaged metadata must not prevent reading the picture
            tags = Image.Exif()
    gray = image.mode in ("L", "LA", "I;16", "F")
    return colors.find_profile("The image", profile, statement, tags, gray=gray)


def _choose_profile(image: Image.Image, embedded: bytes | None) -> bytes | None:
    """Return the ICC profile in an image's info, which users may replace or remove; empty if its file's is damaged.

    embedded: that of the file, from `_read_statement_and_profile`.
    """
    if "icc_profile" not in image.info:
        return None
    profile: bytes | None = embedded if embedded == b"" else image.info["icc_profile"]
    return profile


def _read_statement_and_profile(image: Image.Image) -> tuple[colors.Statement, bytes | None]:
    """Return what the image's file states about its colors, or the part that Pillow has kept if the file is gone.

    The second item is the ICC profile in a JPEG or PNG, empty if it is damaged: Pillow drops such a profile. It is None
    without one, for other formats, and, unless it is damaged, if the file is gone.
    """
    format = _FORMATS.get(image.format or "", "")
    if format and isinstance(image, ImageFile.ImageFile):
        if image.fp is not None and not image.fp.closed and image.fp.seekable():
            offset = image.fp.tell()
            found = _parse_file(image.fp, format)
            image.fp.seek(offset)
            return found
        with contextlib.suppress(OSError), Path(os.fsdecode(image.filename)).open("rb") as file:
            return _parse_file(file, format)
    if points := image.info.get("nclx_profile"):
        return heif.Colors(points["color_primaries"], points["transfer_characteristics"]), None
    # Pillow's value is None for a profile in a JPEG or PNG that it cannot put together.
    is_damaged = image.info.get("icc_profile", b"") is None and image.format in (None, "JPEG", "MPO", "PNG")
    chunks = {}
    if "srgb" in image.info:
        chunks[b"sRGB"] = bytes(1)
    if "gamma" in image.info:
        chunks[b"gAMA"] = struct.pack(">I", round(image.info["gamma"] * 100_000))
    if "chromaticity" in image.info:
        chunks[b"cHRM"] = struct.pack(">8I", *(round(number * 100_000) for number in image.info["chromaticity"]))
    return chunks, b"" if is_damaged else None


def _parse_file(file: IO[bytes], format: str) -> tuple[colors.Statement, bytes | None]:
    """Return the result of `_read_statement_and_profile` from a file."""
    statement = colors.read_statement(file, format)
    if format == "jpeg":
        return statement, jpeg.read_profile(file)
    return statement, png.unpack_profile(statement) if isinstance(statement, dict) else None
