"""JPEG, PNG, TIFF, WebP and, read-only, AVIF through libvips."""

from __future__ import annotations

import io
import os
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips
from PIL import Image

from gknet.color.profile import is_compatible
from gknet.errors import PictureError, UnsupportedError
from gknet.files.conversion import expand_limited, expand_range
from gknet.files.metadata.file import (
    adapt_metadata,
    add_png_metadata,
    clean_metadata,
    find_orientation,
    read_metadata,
    read_png_metadata,
    write_metadata,
)
from gknet.files.metadata.resolution import drop_redundant_aspect, parse_pillow_tags, turn_resolution
from gknet.files.picture import ONLY_THE_FIRST, Picture, WriteError, check_size, damage_error
from gknet.files.statements import heif, jpeg, png, tiff
from gknet.files.statements.colors import Statement, build_rgb_profile, find_profile, read_statement
from gknet.files.statements.exif import parse_tags
from gknet.vips import vips_session

COMPRESSED_AGAIN = "JPEG compresses the whole picture again, so the background changes slightly; PNG and TIFF keep it"
"""Note on a JPEG made from a picture that was compressed before."""
JPEG_QUALITY = 95  # visually lossless, at half the bytes of 100

_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
# What users call the other types of libvips.
_UNREADABLE = {
    "char": "signed 8-bit",
    "short": "signed 16-bit",
    "uint": "32-bit integer",
    "int": "signed 32-bit integer",
    "double": "64-bit float",
    "complex": "complex",
    "dpcomplex": "complex",
}
_WHITE = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
_DEEPEST = {"jpeg": "uchar", "webp": "uchar", "png": "ushort", "tiff": "float"}
_INTERPRETATIONS = {"uchar": ("b-w", "srgb"), "ushort": ("grey16", "rgb16"), "float": ("b-w", "scrgb")}
_READABLE = {"multiband", "rgb", *_INTERPRETATIONS["uchar"], *_INTERPRETATIONS["ushort"], "scrgb"}
# Messages of libvips, libtiff and libjpeg about an intact file that they cannot decode.
_CODING_ERROR = re.compile(
    "compression (support|method) is not configured|decoding is not implemented|tiled separate planes not supported"
    "|Unsupported JPEG (data precision|process)|Unsupported color conversion"
)


@vips_session()
def read(path: Path, format: str, *, as_mask: bool) -> Picture:
    """Return the picture in a file, upright; as a mask, without a profile. Raises PictureError or UnsupportedError."""
    try:
        with path.open("rb") as file:
            corrected = None
            if format == "tiff":
                tiff.check_channels(path, tiff.read_tags(file))
                tiff.check_pages(path, tiff.read_pages(file))
                corrected = tiff.correct_orientation(file)
            load = getattr(pyvips.Image, f"{format}load" if corrected is None else f"{format}load_buffer")
            image = load(corrected or os.fsencode(path), access="sequential", fail_on="error")
            picture = _build_picture(path, image, format, file, read_metadata(path, format), as_mask=as_mask)
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise heif.find_error(path) if format == "heif" else _decoding_error(path, error) from error
    return replace(picture, quality=_read_jpeg_quality(path)) if format == "jpeg" else picture


@vips_session()
def decode_png(content: bytes, path: Path) -> Picture:
    """Return the picture in a PNG's bytes.   path: for error messages. Raises as `read`."""
    try:
        image = pyvips.Image.pngload_buffer(content, access="sequential", fail_on="error")
        return _build_picture(path, image, "png", io.BytesIO(content), read_png_metadata(content), is_layer=True)
    except (pyvips.Error, UnicodeDecodeError) as error:
        raise _decoding_error(path, error) from error


@vips_session()
def encode_png(pixels: np.ndarray, like: Picture) -> bytes:
    """Return pixels (H, W, C) as a PNG's bytes, with like's profile and texts."""
    image, options = _prepare_image(pixels, like, "png")
    metadata, _ = _adapt_metadata(like, "png", image.width, image.height)
    return add_png_metadata(bytes(image.pngsave_buffer(**options)), metadata)


@vips_session()
def save(path: Path, format: str, pixels: np.ndarray, like: Picture) -> None:
    """Write a file under exactly the given name. Raises OSError, or WriteError."""
    image, options = _prepare_image(pixels, like, format)
    try:
        getattr(image, f"{format}save")(os.fsencode(path), **options)
    except pyvips.Error as error:
        raise WriteError from error
    metadata, _ = _adapt_metadata(like, format, image.width, image.height)
    size, orientation = (image.width, image.height), _get_orientation(like, format)
    write_metadata(path, format, metadata, orientation, size, has_alpha=image.hasalpha())


def find_write_notes(like: Picture, format: str) -> list[str]:
    """Return notes on metadata of a picture that are lost when it is written to another format."""
    height, width = like.pixels.shape[:2]
    return [] if format == like.format == "exr" else _adapt_metadata(like, format, width, height)[1]


def _decoding_error(path: Path, error: Exception) -> PictureError | UnsupportedError:
    if _CODING_ERROR.search(str(error)):
        hint = "Save it as PNG, or without compression."
        return UnsupportedError(f"{path} has a compression or layout that is not supported.", hint)
    return damage_error(path)


def _build_picture(
    path: Path,
    image: Any,
    format: str,
    file: BinaryIO,
    metadata: dict[str, Any],
    *,
    as_mask: bool = False,
    is_layer: bool = False,
) -> Picture:
    """Return a decoded picture.

    file: its own, because libvips does not report all that it states about colors.   is_layer: whether it is a layer of
    a file, whose place is that of the stored pixels, so that its orientation does not count.
    """
    _check_readable(path, image)
    statement = read_statement(file, format)
    exif = _get_block(image, "exif-data")
    tags = tiff.read_tags(file) if format == "tiff" else parse_tags(exif)
    gray = image.bands < 3
    # libvips drops a JPEG's profile with a missing part.
    embedded = jpeg.read_profile(file) if format == "jpeg" else _get_block(image, "icc-profile-data") or None
    profile = None if as_mask else find_profile(path, embedded, statement, tags, gray=gray)
    fields = set(image.get_fields())
    pixels = np.asarray(image.numpy()).reshape(image.height, image.width, image.bands)
    if format == "heif" and pixels.dtype == np.uint16:
        pixels = expand_range(pixels, image.get("bits-per-sample"))
    if isinstance(statement, heif.Colors) and statement.is_limited_gray:
        pixels = expand_limited(pixels, image.get("bits-per-sample"))
    stated = image.get("orientation") if "orientation" in fields else find_orientation(metadata, format)
    orientation = 1 if is_layer else stated
    if format == "heif":
        metadata = clean_metadata({"exif-data": exif, "xmp-data": _get_block(image, "xmp-data")})
    # A file in the same format is stored upright unless it can state the orientation.
    is_kept = format == "tiff" or find_orientation(metadata, format) == orientation
    return Picture(
        pixels=_orient(pixels, orientation),
        profile=profile,
        position=_read_position(format, statement, tags),
        format=format,
        orientation=orientation if is_kept else 1,
        metadata=turn_resolution(drop_redundant_aspect({**parse_pillow_tags(tags), **metadata}), orientation),
        notes=_find_notes(image, format, statement, tags, file),
    )


def _find_notes(image: Any, format: str, statement: Statement, tags: Image.Exif, file: BinaryIO) -> list[str]:
    """Return notes on parts of a file that are not read."""
    if format == "tiff":
        return tiff.find_notes(tags, tiff.read_pages(file))
    if format == "jpeg":
        return jpeg.find_notes(file)
    notes = png.find_notes(statement) if isinstance(statement, dict) else []
    several = isinstance(statement, dict) and b"acTL" in statement
    several |= format == "heif" and heif.is_sequence(file)
    several |= "n-pages" in image.get_fields() and image.get("n-pages") > 1
    if format == "heif":
        notes += heif.find_notes(file, _get_block(image, "xmp-data"))
    return [ONLY_THE_FIRST, *notes] if several else notes


def _get_block(image: Any, name: str) -> bytes:
    """Return a block of metadata, empty if there is none."""
    return bytes(image.get(name)) if name in image.get_fields() else b""


def _read_position(format: str, statement: Statement, tags: Image.Exif) -> tuple[int, int]:
    if isinstance(statement, dict):
        return png.read_position(statement)
    return tiff.read_position(tags) if format == "tiff" else (0, 0)


def _check_readable(path: Path, image: Any) -> None:
    """Raise an error if the header declares unsupported pixels."""
    check_size(path, image.width, image.height)
    if image.interpretation not in _READABLE:
        raise UnsupportedError(
            f"{path} has {image.interpretation.upper()} colors, which are not supported.", tiff.TO_RGB
        )
    if image.bands > 4:
        raise UnsupportedError(
            f"{path} has {image.bands} channels, but at most 4 are supported.", "Save it as RGB or RGBA."
        )
    if image.format not in _DTYPES:
        hint = "Save it with 8 or 16 bits, or as float."
        raise UnsupportedError(
            f"{path} has {_UNREADABLE.get(image.format, image.format)} pixels, which are not supported.", hint
        )


def _adapt_metadata(like: Picture, format: str, width: int, height: int) -> tuple[dict[str, Any], list[str]]:
    orientation = _get_orientation(like, format)
    metadata = turn_resolution(like.metadata, orientation)
    return adapt_metadata(metadata, like.format, format, orientation, (width, height), like.position)


def _get_orientation(like: Picture, format: str) -> int:
    """Return the orientation in which like's pixels are stored in a format."""
    return like.orientation if like.format == format else 1


def _read_jpeg_quality(path: Path) -> int:
    """Estimate a JPEG's quality on the reference encoder's scale; 0 if unknown."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != 0xDA:
            body = file.read(struct.unpack(">H", head[2:])[0] - 2)
            if head[1] == 0xDB and len(body) >= 65 and body[0] == 0:  # table 0 with 8-bit values: luminance
                if max(body[1:65]) == 1:
                    return 100
                percent = 100 * sum(body[1:65]) / 3688  # the sum at quality 50 (ITU-T T.81, table K.1)
                return max(1, round(100 - percent / 2 if percent <= 100 else 5000 / percent))
    return 0


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels upright by EXIF's orientation; copies only if necessary."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def _to_image(pixels: np.ndarray) -> Any:
    """Return the array as a libvips image, without a copy."""
    height, width, channels = pixels.shape
    format = next(name for name, dtype in _DTYPES.items() if pixels.dtype == dtype)
    return pyvips.Image.new_from_memory(np.ascontiguousarray(pixels), width, height, channels, format)


def _prepare_image(pixels: np.ndarray, like: Picture, format: str) -> tuple[Any, dict[str, Any]]:
    """Return a libvips image in a depth of the format, with like's profile, and options to save it."""
    orientation, profile = _get_orientation(like, format), like.profile
    if format == "webp" and pixels.shape[2] < 3 and is_compatible(profile, gray=True):
        assert profile is not None
        pixels, profile = pixels[..., [0, 0, 0, 1][: pixels.shape[2] + 2]], build_rgb_profile(profile)
    image = _to_image(_orient(pixels, {6: 8, 8: 6}.get(orientation, orientation)))
    depth = min(image.format, _DEEPEST[format], key=list(_DTYPES).index)
    if image.format != depth:
        image = (image * (_WHITE[depth] / _WHITE[image.format])).rint().cast(depth)
    image = image.copy(interpretation=_INTERPRETATIONS[depth][image.bands > 2])
    if profile is not None and is_compatible(profile, gray=pixels.shape[2] < 3):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"Q": max(JPEG_QUALITY, like.quality), "subsample_mode": "off", "optimize_coding": True},
        "png": {"bitdepth": 16 if depth == "ushort" else 8, "filter": "all"},
        "tiff": {
            "compression": "deflate",
            "predictor": "none" if depth == "float" else "horizontal",  # few programs support the float predictor
            "bigtiff": pixels.nbytes > 3 << 30,  # plain TIFF is limited to 4 GiB
        },
        "webp": {"lossless": True, "exact": True},
    }
    return image, {"keep": "icc", **options[format]}
