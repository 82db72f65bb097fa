"""What a file says about its colors, in an ICC profile or otherwise: one rule for all formats and ways in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import IO

import numpy as np
from PIL import Image

from gknet.color.cicp import hdr_error
from gknet.color.icc import REC_709, build_profile
from gknet.color.profile import STEPS, is_compatible, is_hdr, is_srgb, parse_matrix_profile
from gknet.files import exif_color, heif, png

_CURVE_STEPS = 4096

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

    subject: the file's name, for messages.   embedded: the file's ICC profile; for gray, one of RGB counts by its
    curve; any other of the wrong kind, such as CMYK, is ignored.   tags: of EXIF, or of the TIFF.
    gray: whether the pixels are gray.
    Raises UnsupportedError for PQ, HLG, and whatever is said but not understood.
    """
    profile = embedded if is_compatible(embedded, gray=gray) else None
    if gray and embedded is not None and is_compatible(embedded, gray=False):
        profile = _convert_to_gray(embedded)
    if isinstance(statement, heif.Colors):
        profile = heif.find_profile(statement, profile, gray=gray, subject=subject)
    elif statement is not None:
        profile = png.find_profile(statement, profile, gray=gray, subject=subject)
    if profile is None:
        with warnings.catch_warnings():  # Pillow warns of damaged tags, some of which it reads only here
            warnings.simplefilter("ignore")
            profile = exif_color.find_profile(tags, gray=gray, subject=subject)
    if profile is not None and is_hdr(profile):
        raise hdr_error(subject)
    return profile


def _convert_to_gray(profile: bytes) -> bytes | None:
    """Return the profile of the grays of an RGB profile; None if that is sRGB's, or if its curves differ."""
    parsed = parse_matrix_profile(profile)
    if parsed is None or any(not np.array_equal(curve, parsed.curves[0]) for curve in parsed.curves):
        return None
    steps = np.linspace(0, 1, _CURVE_STEPS)
    curve = np.interp(steps, np.linspace(0, 1, STEPS), parsed.curves[0])
    converted = build_profile("Gray of an RGB profile", REC_709, curve, gray=True)
    return None if is_srgb(converted) else converted


def parse_exif(block: bytes) -> Image.Exif:
    """Return the tags of an EXIF block, none if it is damaged."""
    tags = Image.Exif()
    with warnings.catch_warnings():  # damaged metadata should cost neither the picture nor the user's attention
        warnings.simplefilter("ignore")
        try:
            tags.load(block)
        except Exception:
            return Image.Exif()
    return tags
