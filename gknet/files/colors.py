"""What a file says about its colors, in an ICC profile or otherwise: one rule for all formats and ways in."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from gknet.color.cicp import hdr_error
from gknet.color.profile import is_compatible, is_hdr
from gknet.files import exif_color, heif, png, tiff


def find_profile(
    subject: object,
    format: str,
    file: BinaryIO | None,
    embedded: bytes | None,
    exif: bytes | Image.Exif,
    *,
    gray: bool,
) -> bytes | None:
    """Return the ICC profile of a picture's values; None if nothing is said about them, or sRGB by EXIF.

    subject: the file's name, for messages.   file: the whole file, None if it is gone.   embedded: its ICC profile;
    one of the wrong kind, such as CMYK, is ignored.   gray: whether the pixels are gray.
    Raises UnsupportedError for PQ, HLG, and whatever is said but not understood.
    """
    profile = embedded if is_compatible(embedded, gray=gray) else None
    if file is not None and format == "png":
        profile = png.find_profile(file, profile, gray=gray, subject=subject)
    elif file is not None and format in ("heif", "heic"):
        profile = heif.find_profile(file, profile, gray=gray, subject=subject)
    if profile is None:
        tags = tiff.read_tags(file) if file is not None and format == "tiff" else _parse_exif(exif)
        profile = exif_color.find_profile(tags, gray=gray, subject=subject)
    if profile is not None and is_hdr(profile):
        raise hdr_error(subject)
    return profile


def _parse_exif(exif: bytes | Image.Exif) -> Image.Exif:
    if isinstance(exif, Image.Exif):
        return exif
    parsed = Image.Exif()
    try:
        parsed.load(exif)
    except Exception:  # damaged metadata should not cost the picture
        return Image.Exif()
    return parsed
