"""Photoshop files without layers, as pictures. Needs the package psd-tools, the extra `psd`."""

from __future__ import annotations

import contextlib
import logging
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gknet.errors import HarmonizeError, MissingPackageError, UnsupportedError
from gknet.files.metadata.file import clean_metadata
from gknet.files.picture import Picture, check_size, damage_error
from gknet.files.statements.colors import find_profile
from gknet.files.statements.exif import parse_tags

_MERGED_ALPHA = "Transparency"  # Photoshop's name for the picture's own alpha in the list of saved channels
_STRIP = 256
PASS_ALONE = (
    "If it has the object above its background, pass it alone: gknet harmonize FILE -o OUT. Otherwise export it as PNG."
)


def read(path: Path, format: str, *, as_mask: bool) -> Picture:
    """Return the picture of a file without layers: gray or RGB, without its saved channels; as a mask, no profile.

    Raises as `open_document`, and UnsupportedError for a file with layers.
    """
    document = open_document(path)
    with translate_errors(path):
        if len(document):
            raise UnsupportedError(f"{path} is a layered file.", PASS_ALONE)
        unit = document.numpy("color")  # (H, W, 1 or 3) float32
        profile = document.image_resources.get_data(_find_resource("ICC_PROFILE"))
        exif = parse_tags(document.image_resources.get_data(_find_resource("EXIF_DATA_1"), b""))
        dtype = np.uint8 if document.depth == 8 else np.uint16
        pixels = np.empty(unit.shape, dtype)
        for top in range(0, len(unit), _STRIP):  # in strips, because floats take up to four times the memory
            pixels[top : top + _STRIP] = np.rint(unit[top : top + _STRIP].clip(0, 1) * np.iinfo(dtype).max)
        return Picture(
            pixels=pixels,
            profile=None if as_mask else find_profile(path, profile, None, exif, gray=unit.shape[2] < 3),
            format=format,
            metadata=read_metadata(document),
            notes=find_channel_notes(document),
        )


def open_document(path: Path) -> Any:
    """Return the psd-tools document in a .psd or .psb.

    Raises PictureError if the file is damaged or too large, UnsupportedError for anything but RGB or gray of 8 or 16
    bits, MissingPackageError without the package.
    """
    try:
        import aggdraw  # noqa: F401
        import psd_tools
        import scipy  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(f"Photoshop files ({path}) need the package psd-tools.", "psd") from error
    _check_header(path)
    with translate_errors(path):
        return psd_tools.PSDImage.open(path)


def read_metadata(document: Any) -> dict[str, Any]:
    """Return a document's EXIF, XMP, IPTC and resolution, as in Picture."""
    resources = document.image_resources
    found = {
        "exif-data": resources.get_data(_find_resource("EXIF_DATA_1")),
        "xmp-data": _get_bytes(resources.get_data(_find_resource("XMP_METADATA"))),
    }
    records = _get_bytes(resources.get_data(_find_resource("IPTC_NAA")))
    metadata: dict[str, Any] = clean_metadata(found) | ({"iptc-data": records} if records else {})
    resolution = resources.get_data(_find_resource("RESOLUTION_INFO"))
    across, down = (getattr(resolution, name, 0) / 65536 for name in ("horizontal", "vertical"))  # pixels per inch
    return metadata | ({"xres": across / 25.4, "yres": down / 25.4} if min(across, down) >= 1 else {})


def find_channel_notes(document: Any) -> list[str]:
    """Return a note on each saved channel of a document."""
    named = document.image_resources.get_data(_find_resource("ALPHA_NAMES_UNICODE"), ())
    named = [name.rstrip("\0") for name in named]
    if not named and not len(document):  # with layers, an unnamed one is the whole picture's transparency
        colors = 1 if document.color_mode.name == "GRAYSCALE" else 3
        named = [f"Alpha {i + 1}" for i in range(document.channels - colors)]
    return [f"the saved channel {name!r} is left out" for name in named if name != _MERGED_ALPHA]


def _get_bytes(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else bytes(content or b"")


def _find_resource(name: str) -> Any:
    from psd_tools.constants import Resource

    return Resource[name]


def _check_header(path: Path) -> None:
    """Raise an error if the file's first bytes declare unsupported pixels."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26:
        raise damage_error(path)
    height, width, depth, mode = struct.unpack(">IIHH", head[14:])
    check_size(path, width, height)
    if mode not in (1, 3):
        raise UnsupportedError(f"{path} is neither RGB nor gray.", "Convert it first: Image > Mode > RGB Color.")
    if depth not in (8, 16):
        hint = "Convert it to 16 bits first, or save it as OpenEXR."
        raise UnsupportedError(f"{path} has {depth} bits per channel, which is not supported.", hint)


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise PictureError for any error that the package raises on a file."""
    logging.getLogger("psd_tools").addHandler(logging.NullHandler())  # otherwise its warnings reach the terminal
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", category=_incomplete_warning())
            yield
    except (HarmonizeError, MemoryError):
        raise
    except Exception as error:
        raise damage_error(path) from error


def _incomplete_warning() -> type[Warning]:
    from psd_tools.compression import PSDDecompressionWarning

    return PSDDecompressionWarning
