"""Reading and writing of picture files, preserving depth, color profile, orientation and metadata.

The format is detected from a file's content, never from its name; no decoder sees an unknown format.
Of a file with several pages or frames, only the first is read and written back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gknet.color.encoding import Encoding, Space, full_value
from gknet.errors import PictureError, UnsupportedError
from gknet.files.codecs import heic, openexr, photoshop, raster
from gknet.files.codecs.raster import COMPRESSED_AGAIN
from gknet.files.mask import choose_mask
from gknet.files.picture import Picture, check_destination, file_error, replace_file

_STRIP = 256
_SLIGHT = 0.5 / 255  # clipping less than this is invisible at 8 bits

_SUFFIXES = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
    ".exr": "exr",
}
_LONGEST_SIDE = {"jpeg": 65_535, "webp": 16_383}  # the formats' own limits
WRITABLE_HINT = "Use .jpg, .png, .tif, .webp or .exr."
LAYERED_HINT = "Use .ora to keep the layers, or .jpg, .png, .tif, .webp or .exr for a flat picture."
_DEPTHS = (np.uint8, np.uint16, np.float32)


LAYERED = ("openraster", "photoshop")
"""Layered formats, read by `gknet.files.layered.layers`."""
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\x76\x2f\x31\x01": "exr",
    b"PK\x03\x04": "openraster",
    b"8BPS": "photoshop",
}


def read_picture(path: Path, *, as_mask: bool = False) -> Picture:
    """Return the complete picture in a file, upright.

    Palettes become RGB or RGBA, 1-bit and gray become gray, 16-bit floats float32, any alpha straight.
    as_mask: whether to ignore what the file states about its colors.
    Raises PictureError if the file is missing, damaged or above MAX_PIXELS, UnsupportedError for an unsupported kind
    such as CMYK or a file with layers, MissingPackageError if the package for its format is not installed.
    """
    format = detect_format(path)
    if format == "openraster":
        raise UnsupportedError(f"{path} is a layered file.", photoshop.PASS_ALONE)
    readers = {"heic": heic.read, "exr": openexr.read, "photoshop": photoshop.read}
    return readers.get(format, raster.read)(path, format, as_mask=as_mask)


def read_mask(path: Path) -> np.ndarray:
    """Return the mask in a file: (H, W) uint8, uint16 or float32, upright, large = foreground.

    `choose_mask` describes which values are used. Raises the errors of `choose_mask` and `read_picture`.
    """
    return choose_mask(read_picture(path, as_mask=True).pixels)[0]


def find_write_notes(path: Path, like: Picture) -> list[str]:
    """Return notes for the user on what is lost when a picture is written to a path."""
    format = _SUFFIXES.get(path.suffix.lower())
    was_compressed = like.format in ("jpeg", "webp", "heif", "heic")
    notes = [COMPRESSED_AGAIN] if was_compressed and format == "jpeg" else []
    if like.pixels.dtype == np.float32 and format not in ("tiff", "exr"):
        colors = like.pixels[..., : -1 if like.pixels.shape[2] in (2, 4) else None]
        if colors.max() > 1 + _SLIGHT or colors.min() < -_SLIGHT:
            notes.append("values above white and below black are clipped; float TIFF and OpenEXR keep them")
    if like.format == "exr" and format != "exr":
        notes += openexr.find_other_contents(like)
    return notes if format is None else [*notes, *raster.find_write_notes(like, format)]


def check_writable(path: Path, channels: int, hint: str = WRITABLE_HINT) -> None:
    """Raise an error if a picture with this number of channels cannot be written there. Call it before the work starts.

    hint: for an unknown suffix.
    Raises PictureError for an unknown suffix or a missing folder, UnsupportedError for alpha in a JPEG.
    """
    format = _SUFFIXES.get(path.suffix.lower())
    if format is None:
        raise PictureError(f"{path} cannot be written: {explain_unwritable_suffix(path.suffix)}.", hint)
    check_destination(path)
    if format == "jpeg" and channels in (2, 4):
        raise UnsupportedError(f"{path} cannot be written: JPEG has no transparency.", "Write a .png instead.")
    if format == "exr":
        openexr.import_openexr(path)


def explain_unwritable_suffix(suffix: str) -> str:
    """Return why no flat picture can be written with a suffix that `is_writable` rejects, in user-facing words."""
    kinds = {".ora": "a file with layers, and this picture is flat"}
    read_only = "a format that can only be read"
    kinds |= dict.fromkeys((".heic", ".heif", ".avif", ".psd", ".psb"), read_only)
    if not suffix:
        return "its name has no suffix"
    if suffix.lower() in kinds:
        return f"the suffix {suffix} means {kinds[suffix.lower()]}"
    return f"unknown suffix {suffix!r}"


def is_writable(suffix: str) -> bool:
    """Return whether flat pictures can be written with a suffix."""
    return suffix.lower() in _SUFFIXES


def write_picture(path: Path, pixels: np.ndarray, like: Picture) -> None:
    """Write pixels to a file, in its suffix's format, with everything else from `like`; completely or not at all.

    pixels: (H, W, C) uint8, uint16 or float32, upright, channels as in Picture; H and W may differ from like's.
    JPEG keeps the source's quality, at least 95, without chroma subsampling. All else is lossless. Unsupported depths
    are rounded: floats to 16 bits in PNG, everything to 8 in JPEG and WebP.
    OpenEXR gets linear light and all other formats encoded values, whatever the pixels are.
    In the source's own format the orientation is kept as stored. In any other, whose viewers may ignore it, the picture
    is stored upright. Metadata that shows the old pixels, such as a thumbnail or a gain map, is dropped.
    Raises PictureError or UnsupportedError as `check_writable`, or if writing fails; an existing file is kept.
    """
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.dtype not in _DEPTHS:
        raise UnsupportedError(
            f"Expected an array of shape (H, W, 1–4), got {pixels.shape} {pixels.dtype}.",
            "Use uint8, uint16 or float32.",
        )
    check_writable(path, pixels.shape[2])
    format = _SUFFIXES[path.suffix.lower()]
    limit = _LONGEST_SIDE.get(format)
    if limit and max(pixels.shape[:2]) > limit:
        raise UnsupportedError(f"{path} is limited to {limit} pixels per side.", "Write a .png or .tif instead.")
    pixels, like = _convert_space(pixels, like, "linear" if format == "exr" else "srgb")
    save = openexr.save if format == "exr" else raster.save
    with replace_file(path) as unfinished:
        save(unfinished, format, pixels, like)


def _convert_space(pixels: np.ndarray, like: Picture, space: Space) -> tuple[np.ndarray, Picture]:
    """Convert pixels and their description to linear light or encoded values; return them unchanged if they already
    match.
    """
    if like.space == space:
        return pixels, like
    source, target = like.encoding, Encoding(space)
    result = np.empty(pixels.shape, np.float32)
    full = full_value(pixels.dtype)
    gray = pixels.shape[2] < 3
    for top in range(0, len(pixels), _STRIP):
        unit = pixels[top : top + _STRIP].astype(np.float32) / np.float32(full)
        colors = np.repeat(unit[..., :1], 3, axis=2) if gray else np.ascontiguousarray(unit[..., :3])
        colors = target.from_srgb(source.to_srgb(colors))
        unit[..., : 1 if gray else 3] = colors[..., : 1 if gray else 3]
        result[top : top + _STRIP] = unit
    return result, replace(like, space=space, profile=None)


def detect_format(path: Path) -> str:
    """Return the format from a file's first bytes. Raises PictureError, or UnsupportedError for an unknown format."""
    try:
        if path.is_dir():
            raise PictureError(f"{path} is a folder, not a picture.", "Choose a file in it.")
        if path.exists() and not path.is_file():  # reading from a pipe would block forever
            raise PictureError(f"{path} is not a regular file.", "Choose a picture file.")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise PictureError(f"{path} does not exist.", "Check its name and folder.") from error
    except OSError as error:
        raise file_error(path, "opened", error) from error
    if not head:
        raise PictureError(f"{path} is empty.", "Copy or export it again.")
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:12] in (b"ftypavif", b"ftypmif1", b"ftypavis"):
        return "heif" if b"avif" in head else "heic"
    if head[4:11] == b"ftyphei" or head[4:11] == b"ftyphev":
        return "heic"
    for start, format in _STARTS.items():
        if head.startswith(start):
            return format
    hint = "Save it as JPEG, PNG, TIFF, WebP, AVIF or OpenEXR."
    raise UnsupportedError(f"{path} has an unknown file format.", hint)
