"""OpenEXR pictures: scene-linear light, half or float. Needs the package OpenEXR, the extra `exr`.

Alpha is associated in these files and straight here. Unchanged pixels are written back bit for bit, never compressed
with loss. Other channels, other parts and the header are kept, except for the preview and smaller copies.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gknet.color.icc import REC_709
from gknet.errors import MissingPackageError, UnsupportedError
from gknet.files.picture import Picture, WriteError, check_size, damage_error
from gknet.files.wording import join_names
from gknet.pixels.box import Box

# Keys in a picture's metadata: the whole file, the index of the picture's part, and the pixels if they have alpha.
_KEPT, _PART, _BEFORE = "openexr", "openexr-part", "openexr-pixels"
_ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)  # of containers by SMPTE ST 2065-4
_LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K256", "HTJ2K32", "ZSTD")
# Attributes of a header that describe how its part is stored, or are converted.
_STORAGE = (
    *("channels", "chunkCount", "compression", "dataWindow", "displayWindow", "dwaCompressionLevel", "lineOrder"),
    *("multiView", "name", "preview", "screenWindowCenter", "screenWindowWidth", "tiles", "type", "version", "view"),
    *("acesImageContainerFlag", "chromaticities", "colorInteropID", "oiio:ColorSpace"),
)
# The Color Interop Forum's and OpenImageIO's names of linear light with sRGB's or unspecified primaries.
_LINEAR_NAMES = ("lin_rec709_scene", "lin_rec709", "lin_srgb", "linear", "scene_linear", "data", "unknown", "")


def import_openexr(path: Path) -> Any:
    """Return the package. Raises MissingPackageError if it is not installed."""
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingPackageError(f"OpenEXR files ({path}) need the package OpenEXR.", "exr") from error
    return OpenEXR


def read(path: Path, format: str, *, as_mask: bool) -> Picture:
    """Return the first part with colors: gray (Y) or RGB, with alpha if present, float32 linear light.

    The picture is the whole display window: zero outside the data window, which may be smaller, larger or beside it.
    Raises PictureError if the file is damaged or too large, UnsupportedError for deep, subsampled or integer pixels and
    except in a mask, for a color space other than linear light with sRGB's primaries; MissingPackageError without the
    package.
    """
    header = _open(path, header_only=True)
    index, names = _find_colors(path, header)
    if not as_mask:
        _check_color_space(path, header.parts[index].header)
    for part in header.parts:
        for name in ("dataWindow", "displayWindow"):
            box = _read_window(part.header, name)
            check_size(path, box.width, box.height)
    file = _open(path)
    if len(file.parts) != len(header.parts):
        raise damage_error(path)
    part = file.parts[index]
    if any(part.channels[name].pixels.dtype.kind != "f" for name in names):
        raise UnsupportedError(f"{path} has integer pixels, which are not supported.", "Save it as half or float.")
    pixels = _read_display_window(path, part, names)
    if names[-1] == "A":
        alpha = pixels[..., -1:]
        with np.errstate(all="ignore"):
            np.divide(pixels[..., :-1], alpha, out=pixels[..., :-1], where=alpha > 0)
    metadata = {_KEPT: file, _PART: index, _BEFORE: pixels.copy() if names[-1] == "A" else None}
    return Picture(pixels=pixels, space="linear", format=format, metadata=metadata)


def save(path: Path, format: str, pixels: np.ndarray, like: Picture) -> None:
    """Write a file: like's own with new pixels in its own types, or a new one of floats.

    pixels: (H, W, C) float32, linear light. Raises WriteError.
    """
    names = (["Y", "A"] if pixels.shape[2] < 3 else ["R", "G", "B", "A"])[: pixels.shape[2]]
    planes = dict(zip(names, np.moveaxis(_premultiply(pixels), -1, 0), strict=True))
    file = like.metadata.get(_KEPT) if like.format == format else None
    if file is None or like.pixels.shape != pixels.shape:
        package = import_openexr(path)
        header = {"compression": package.ZIP_COMPRESSION, "type": package.scanlineimage}
        file = package.File(header, {name: np.ascontiguousarray(plane) for name, plane in planes.items()})
    else:
        _replace_planes(file.parts[like.metadata[_PART]], planes, pixels, like.metadata[_BEFORE])
        _clean_headers(path, file)
    try:
        with _silence_output():
            file.write(os.fspath(path))
    except RuntimeError as error:
        raise WriteError from error


def find_other_contents(picture: Picture) -> list[str]:
    """Return notes on the channels, attributes and parts of a picture's file that no other format can hold."""
    parts = picture.metadata[_KEPT].parts
    header = parts[picture.metadata[_PART]].header
    notes = []
    if names := {channel.name for channel in header["channels"]} - set("RGBAY"):
        notes.append(f"other channels are left out ({join_names(sorted(names))}); an OpenEXR output keeps them")
    attributes = header.keys() - set(_STORAGE)
    if header.get("pixelAspectRatio") == 1:
        attributes -= {"pixelAspectRatio"}
    if attributes:
        shown = join_names(sorted(attributes))
        notes.append(f"attributes of the header are left out ({shown}); an OpenEXR output keeps them")
    if len(parts) > 1:
        notes.append("the file's other parts are left out; an OpenEXR output keeps them")
    return notes


def _clean_headers(path: Path, file: Any) -> None:
    """Choose a lossless compression for every part, and remove copies of the old picture."""
    package = import_openexr(path)
    for part in file.parts:
        if part.header["compression"].name.removesuffix("_COMPRESSION") not in _LOSSLESS:
            part.header["compression"] = package.ZIP_COMPRESSION
            part.header.pop("dwaCompressionLevel", None)
        part.header.pop("preview", None)
        if "tiles" in part.header:
            part.header["tiles"].mode = package.ONE_LEVEL


def _read_window(header: Any, name: str) -> Box:
    (left, top), (right, bottom) = header[name]
    return Box(int(left), int(top), int(right) - int(left) + 1, int(bottom) - int(top) + 1)


def _read_display_window(path: Path, part: Any, names: list[str]) -> np.ndarray:
    """Return channels (H, W, C) float32 of the whole display window."""
    display, data = _read_window(part.header, "displayWindow"), _read_window(part.header, "dataWindow")
    shown = display.intersect(data)
    if shown is None:
        raise UnsupportedError(f"{path} has no pixels in its display window.", "Save it again with both windows equal.")
    pixels = np.zeros((display.height, display.width, len(names)), np.float32)
    inside = _crop(pixels, shown, display)
    for i, name in enumerate(names):
        inside[..., i] = _crop(part.channels[name].pixels, shown, data)
    return pixels


def _crop(pixels: np.ndarray, box: Box, window: Box) -> np.ndarray:
    """Return the part of a window's pixels that lies in a box."""
    return pixels[box.top - window.top : box.bottom - window.top, box.left - window.left : box.right - window.left]


def _replace_planes(part: Any, planes: dict[str, np.ndarray], pixels: np.ndarray, before: np.ndarray | None) -> None:
    """Put new planes of the display window into a part.

    Dividing by alpha and multiplying again may round, so unchanged values keep their original bits.
    """
    display = _read_window(part.header, "displayWindow")
    _enlarge_data_window(part, display, planes)
    data = _read_window(part.header, "dataWindow")
    shown = display.intersect(data)
    assert shown is not None
    for i, (name, plane) in enumerate(planes.items()):
        whole = part.channels[name].pixels.copy()
        old, new = _crop(whole, shown, data), _crop(plane, shown, display)
        most = np.finfo(old.dtype).max
        new = np.where(np.isfinite(new), new.clip(-most, most), new).astype(old.dtype)
        same = False if before is None else _crop(pixels[..., i] == before[..., i], shown, display)
        old[...] = np.where(same, old, new)
        part.channels[name].pixels = whole


def _enlarge_data_window(part: Any, display: Box, planes: dict[str, np.ndarray]) -> None:
    """Let the data window cover the display window as well, if something was drawn outside it."""
    data = _read_window(part.header, "dataWindow")
    shown = display.intersect(data)
    assert shown is not None
    if all(np.count_nonzero(plane) == np.count_nonzero(_crop(plane, shown, display)) for plane in planes.values()):
        return
    left, top = min(data.left, display.left), min(data.top, display.top)
    right, bottom = max(data.right, display.right), max(data.bottom, display.bottom)
    margins = ((data.top - top, bottom - data.bottom), (data.left - left, right - data.right))
    for channel in part.channels.values():
        channel.pixels = np.pad(channel.pixels, margins)
    part.header["dataWindow"] = (np.array([left, top], np.int32), np.array([right - 1, bottom - 1], np.int32))


def _premultiply(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[2] in (1, 3):
        return pixels
    with np.errstate(all="ignore"):
        return np.concatenate([pixels[..., :-1] * pixels[..., -1:], pixels[..., -1:]], axis=2)


def _open(path: Path, *, header_only: bool = False) -> Any:
    """Open a file. Raises PictureError if it is damaged, UnsupportedError for texts other than UTF-8."""
    package = import_openexr(path)
    try:
        with _silence_output():
            return package.File(os.fspath(path), separate_channels=True, header_only=header_only)
    except UnicodeDecodeError as error:
        raise _encoding_error(path) from error
    except (RuntimeError, ValueError, TypeError) as error:
        raise damage_error(path) from error


def _encoding_error(path: Path) -> UnsupportedError:
    hint = "Save it without comments, or with another program."
    return UnsupportedError(f"{path} has text in its header that is not UTF-8.", hint)


def _find_colors(path: Path, file: Any) -> tuple[int, list[str]]:
    """Return the index of the part with the picture, and its channels."""
    found: set[str] = set()
    for index, part in enumerate(file.parts):
        try:
            channels = {channel.name: channel for channel in part.header["channels"]}
        except UnicodeDecodeError as error:
            raise _encoding_error(path) from error
        found |= channels.keys()
        names = next((names for names in (["R", "G", "B"], ["Y"]) if set(names) <= channels.keys()), None)
        if names is None:
            continue
        if "deep" in str(part.header["type"]):
            raise UnsupportedError(f"{path} has deep pixels, which are not supported.", "Flatten it first.")
        if any((channels[name].xSampling, channels[name].ySampling) != (1, 1) for name in channels):
            raise UnsupportedError(f"{path} has subsampled channels, which are not supported.", "Save it as plain RGB.")
        if {"RY", "BY"} & channels.keys() and names == ["Y"]:
            raise UnsupportedError(f"{path} has chroma channels, which are not supported.", "Save it as plain RGB.")
        return index, [*names, "A"] if "A" in channels else names
    listed = f", only {join_names(sorted(found))}" if found else ""
    raise UnsupportedError(f"{path} has no channels R, G and B{listed}.", "Save the picture as plain RGB.")


def _check_color_space(path: Path, header: Any) -> None:
    """Raise UnsupportedError if a header states anything but linear light with sRGB's primaries."""
    hint = "Convert it to linear Rec. 709 first."
    default = _ACES if header.get("acesImageContainerFlag") else REC_709
    if not np.allclose(np.ravel(header.get("chromaticities", default)), REC_709, atol=0.002):
        raise UnsupportedError(f"{path} does not have sRGB's primaries.", hint)
    for name in ("colorInteropID", "oiio:ColorSpace"):
        space = str(header.get(name, "unknown"))
        if space.lower() not in _LINEAR_NAMES:
            raise UnsupportedError(f"{path} has the color space {space!r}, which is not supported.", hint)


@contextlib.contextmanager
def _silence_output() -> Iterator[None]:
    """Suppress the library's output on the terminal, because it prints errors before it raises them."""
    sys.stdout.flush()
    sys.stderr.flush()
    stderr = os.dup(2)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)  # native code writes to the descriptor, not to sys.stderr
        try:
            with contextlib.redirect_stdout(null):
                yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
