"""HEIC pictures, as taken by phones. Read only; needs the package pillow-heif, the extra `heic`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from gknet.color.profile import is_compatible
from gknet.errors import MissingPackageError, PictureError, UnsupportedError
from gknet.files.exif import remove_thumbnail
from gknet.files.picture import Picture, check_size

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_PQ, _HLG = 16, 18  # HDR transfer characteristics in ITU-T H.273
_P3 = 12  # color primaries in ITU-T H.273


def read(path: Path, format: str) -> Picture:
    """Return the picture in a file, upright; more than 8 bits become uint16.

    Raises PictureError if the file is damaged or too large, UnsupportedError for HDR in PQ or HLG,
    MissingPackageError without the package.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingPackageError(f"Reading HEIC ({path}) needs the package pillow-heif.", "heic") from error
    try:
        image = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        check_size(path, *image.size)
        values = np.asarray(image)
    except PictureError:
        raise
    except (ValueError, OSError, RuntimeError, SyntaxError, EOFError) as error:
        raise PictureError(f"{path} is damaged or incomplete.", "Copy or export it again.") from error
    if image.mode.split(";")[0] not in _CHANNELS:
        raise UnsupportedError(f"{path} has the unsupported mode {image.mode}.", "Save it as RGB.")
    pixels = np.array(values).reshape(image.size[1], image.size[0], _CHANNELS[image.mode.split(";")[0]])
    bits = image.info.get("bit_depth", 8)
    exif = remove_thumbnail(image.info.get("exif") or b"")
    return Picture(
        pixels=expand_range(pixels, bits) if pixels.dtype == np.uint16 else pixels,
        profile=_find_profile(path, image.info, gray=pixels.shape[2] < 3),
        format=format,
        metadata={"exif-data": exif} if exif else {},
    )


def expand_range(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Scale uint16 values of fewer bits, which decoders store in the upper bits, so that white is 65535."""
    levels: np.ndarray = np.rint((pixels >> (16 - bits)) * np.float32(65535 / (2**bits - 1))).astype(np.uint16)
    return levels


def _find_profile(path: Path, info: dict[str, Any], *, gray: bool) -> bytes | None:
    profile: bytes | None = info.get("icc_profile")
    colors = info.get("nclx_profile") or {}
    if not profile and colors.get("transfer_characteristics") in (_PQ, _HLG):
        raise UnsupportedError(f"{path} is HDR (PQ or HLG), which is not supported.", "Save it as SDR, or as OpenEXR.")
    if not profile and colors.get("color_primaries") == _P3:
        profile = pyvips.Operation.call("profile_load", "p3")
    return profile if is_compatible(profile, gray=gray) else None
