"""OpenEXR pictures: scene-linear light, half or float. Needs the package OpenEXR, the extra `exr`.

Alpha is associated in these files and straight here; unchanged pixels are written back bit for bit. Other channels,
other parts and the whole header are kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gknet.errors import MissingPackageError, PictureError, UnsupportedError
from gknet.files.picture import Picture, WriteError, check_size

# Keys in a picture's metadata: the whole file, the index of the picture's part, and the pixels if they have alpha.
_KEPT, _PART, _BEFORE = "openexr", "openexr-part", "openexr-pixels"
_REC_709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)  # x and y of red, green, blue and white


def import_openexr(path: Path) -> Any:
    """Return the package. Raises MissingPackageError if it is not installed."""
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingPackageError(f"OpenEXR files ({path}) need the package OpenEXR.", "exr") from error
    return OpenEXR


def read(path: Path, format: str) -> Picture:
    """Return the first part with colors: gray (Y) or RGB, with alpha if present, float32 linear light.

    Raises PictureError if the file is damaged or too large, UnsupportedError for deep or subsampled pixels and for
    primaries other than sRGB's, MissingPackageError without the package.
    """
    header = _open(path, header_only=True)
    index, names = _find_colors(path, header)
    for part in header.parts:
        (left, top), (right, bottom) = part.header["dataWindow"]
        check_size(path, int(right) - int(left) + 1, int(bottom) - int(top) + 1)
    file = _open(path)
    if len(file.parts) != len(header.parts):
        raise _damage_error(path)
    channels = file.parts[index].channels
    pixels = np.stack([channels[name].pixels.astype(np.float32) for name in names], axis=-1)
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
        _replace_planes(file.parts[like.metadata[_PART]].channels, planes, pixels, like.metadata[_BEFORE])
    try:
        with _silence_output():
            file.write(os.fspath(path))
    except RuntimeError as error:
        raise WriteError from error


def _replace_planes(
    channels: Any, planes: dict[str, np.ndarray], pixels: np.ndarray, before: np.ndarray | None
) -> None:
    """Put new planes into a file's channels.

    Dividing by alpha and multiplying again may round, so unchanged values keep their original bits.
    """
    for i, (name, plane) in enumerate(planes.items()):
        old = channels[name].pixels
        most = np.finfo(old.dtype).max
        new = np.where(np.isfinite(plane), plane.clip(-most, most), plane).astype(old.dtype)
        channels[name].pixels = new if before is None else np.where(pixels[..., i] == before[..., i], old, new)


def _premultiply(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[2] in (1, 3):
        return pixels
    with np.errstate(all="ignore"):
        return np.concatenate([pixels[..., :-1] * pixels[..., -1:], pixels[..., -1:]], axis=2)


def _open(path: Path, *, header_only: bool = False) -> Any:
    """Open a file. Raises PictureError if it cannot be opened."""
    package = import_openexr(path)
    try:
        with _silence_output():
            return package.File(os.fspath(path), separate_channels=True, header_only=header_only)
    except (RuntimeError, ValueError, TypeError) as error:
        raise _damage_error(path) from error


def _damage_error(path: Path) -> PictureError:
    return PictureError(f"{path} is damaged or incomplete.", "Copy or export it again.")


def _find_colors(path: Path, file: Any) -> tuple[int, list[str]]:
    """Return the index of the part with the picture, and its channels."""
    found: set[str] = set()
    for index, part in enumerate(file.parts):
        channels = {channel.name: channel for channel in part.header["channels"]}
        found |= channels.keys()
        names = next((names for names in (["R", "G", "B"], ["Y"]) if set(names) <= channels.keys()), None)
        if names is None:
            continue
        if "deep" in str(part.header["type"]):
            raise UnsupportedError(f"{path} has deep pixels, which are not supported.", "Flatten it first.")
        if any((channels[name].xSampling, channels[name].ySampling) != (1, 1) for name in channels):
            raise UnsupportedError(f"{path} has subsampled channels, which are not supported.", "Save it as plain RGB.")
        white = part.header.get("chromaticities", _REC_709)
        if not np.allclose(np.ravel(white), _REC_709, atol=0.002):
            raise UnsupportedError(f"{path} does not have sRGB's primaries.", "Convert it to linear Rec. 709 first.")
        return index, [*names, "A"] if "A" in channels else names
    listed = ", ".join(sorted(found)[:6])
    raise UnsupportedError(f"{path} has no channels R, G and B, only {listed}.", "Save the picture as plain RGB.")


@contextlib.contextmanager
def _silence_output() -> Iterator[None]:
    """Suppress the library's output on the terminal: about damaged files it prints its errors before it raises them."""
    sys.stdout.flush()
    sys.stderr.flush()
    stderr = os.dup(2)
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), 2)  # its native code writes there
        try:
            with contextlib.redirect_stdout(null):
                yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
