"""What EXIF and the tags of TIFF say about colors (EXIF 3.0, DCF 2.0, TIFF 6.0 section 20)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image

from gknet.color.icc import ADOBE_GAMMA, ADOBE_RGB, REC_709, SRGB_CURVE, Chromaticities, Curve, build_profile
from gknet.errors import UnsupportedError
from gknet.files.metadata.directory import EXIF, INTEROPERABILITY

_INDEX, _COLOR_SPACE, _GAMMA = 1, 0xA001, 0xA500
_TRANSFER_FUNCTION, _WHITE, _PRIMARIES = 301, 318, 319
_SRGB, _ADOBE, _UNCALIBRATED = 1, 2, 0xFFFF


def parse_tags(block: bytes) -> Image.Exif:
    """Return the tags of an EXIF block, none if it is damaged."""
    tags = Image.Exif()
    with warnings.catch_warnings():  # damaged metadata must neither prevent reading the picture nor cause warnings
        warnings.simplefilter("ignore")
        try:
            tags.load(block)
        except Exception:
            return Image.Exif()
    return tags


def find_profile(exif: Image.Exif, *, gray: bool, subject: object) -> bytes | None:
    """Return the ICC profile of the tags; None if they state nothing, or sRGB, which the result's EXIF still states.

    subject: the file's name, for messages. Raises UnsupportedError for a color space that is not supported.
    """
    try:
        details = exif.get_ifd(EXIF)
        index = str(exif.get_ifd(INTEROPERABILITY).get(_INDEX, ""))
    except Exception:  # damaged metadata must not prevent reading the picture
        return None
    space = details.get(_COLOR_SPACE, _UNCALIBRATED)
    if space == _SRGB:
        return None
    if space == _ADOBE or (space == _UNCALIBRATED and index.startswith("R03")):
        return build_profile("Adobe RGB (1998)", ADOBE_RGB, ADOBE_GAMMA, gray=gray)
    if space != _UNCALIBRATED:
        raise UnsupportedError(f"{subject} has the unknown color space {space} (EXIF).", "Convert it to sRGB first.")
    tags = {tag: exif[tag] for tag in (_TRANSFER_FUNCTION, _WHITE, _PRIMARIES) if tag in exif}
    if _GAMMA in details:
        tags[_GAMMA] = details[_GAMMA]
    try:
        return _build_profile(tags, gray=gray) if tags else None
    except (TypeError, ValueError, ArithmeticError) as error:
        message = f"{subject} has primaries or a transfer function in its tags that cannot be used."
        raise UnsupportedError(message, "Convert it to sRGB first.") from error


def _build_profile(tags: dict[int, Any], *, gray: bool) -> bytes:
    white = [float(number) for number in tags.get(_WHITE, REC_709[6:])]
    primaries = [float(number) for number in tags.get(_PRIMARIES, REC_709[:6])]
    if (len(primaries), len(white)) != (6, 2):
        raise ValueError(f"expected 6 numbers for primaries and 2 for white, got {primaries} and {white}")
    chromaticities: Chromaticities = (*primaries, *white)  # type: ignore[assignment]
    curves: list[Curve] = [SRGB_CURVE]
    if _TRANSFER_FUNCTION in tags:
        levels = np.array(tags[_TRANSFER_FUNCTION]) / 65535
        several = len(levels) & (len(levels) - 1) != 0  # three tables of a power of two
        curves = list(levels.reshape(3, -1)) if several else [levels]
    elif _GAMMA in tags:
        curves = [(float(tags[_GAMMA]),)]
    return build_profile("TIFF colorimetry", chromaticities, *curves, gray=gray)
