"""What a file says about its colors, in an ICC profile or otherwise: one rule for all formats and ways in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

from PIL import Image

from gknet.color.cicp import hdr_error
from gknet.color.profile import is_compatible, is_hdr
from gknet.files import exif_color, heif, png

Statement = Mapping[bytes, bytes] | heif.Colors | None
"""The chunks of a PNG, the code points of AVIF and HEIC, and nothing for other formats."""


def read_statement(file: IO[bytes], format: str) -> Statement:
    """Return what a file's own structure says about its colors."""
    if format == "png":
        return png.read_chunks(file)
    return heif.read_colors(file) if format in ("heif", "heic") else None


def find_profile(
    subject: object, embedded: bytes | None, statement: Statement, tags: Image.Exif, *, gray: bool
) -> bytes | None:
    """Return the ICC profile of a picture's values; None if nothing is said about them, or sRGB by EXIF.

    subject: the file's name, for messages.   embedded: the file's ICC profile; one of the wrong kind, such as CMYK, is
    ignored.   tags: of EXIF, or of the TIFF.   gray: whether the pixels are gray.
    Raises UnsupportedError for PQ, HLG, and whatever is said but not understood.
    """
    profile = embedded if is_compatible(embedded, gray=gray) else None
    if isinstance(statement, heif.Colors):
        profile = heif.find_profile(statement, profile, gray=gray, subject=subject)
    elif statement is not None:
        profile = png.find_profile(statement, profile, gray=gray, subject=subject)
    if profile is None:
        profile = exif_color.find_profile(tags, gray=gray, subject=subject)
    if profile is not None and is_hdr(profile):
        raise hdr_error(subject)
    return profile


def parse_exif(block: bytes) -> Image.Exif:
    """Return the tags of an EXIF block, none if it is damaged."""
    tags = Image.Exif()
    try:
        tags.load(block)
    except Exception:  # damaged metadata should not cost the picture
        return Image.Exif()
    return tags
