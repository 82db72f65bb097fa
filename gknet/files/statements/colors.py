"""The color profile of a picture, from ICC or other statements: one order of precedence for all formats."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import IO

import numpy as np
from PIL import Image

from gknet.color.cicp import hdr_error
from gknet.color.icc import REC_709, build_profile
from gknet.color.profile import STEPS, from_srgb, is_compatible, is_hdr, is_srgb, parse_matrix_profile, to_srgb
from gknet.errors import UnsupportedError
from gknet.files.statements import exif, heif, png

_CURVE_STEPS = 4096
_OF_PICTURES = (b"scnr", b"mntr", b"prtr", b"spac")  # classes of profiles that describe a picture's values
_OTHERS = (b"link", b"abst", b"nmcl")
_HEADER = 128

Statement = Mapping[bytes, bytes] | heif.Colors | None
"""The chunks of a PNG, the code points of AVIF and HEIC, and nothing for other formats."""


def read_statement(file: IO[bytes], format: str) -> Statement:
    """Return what a file states about its colors in chunks or boxes; not in EXIF or an ICC profile."""
    if format == "png":
        return png.read_chunks(file)
    return heif.read_colors(file) if format in ("heif", "heic") else None


def find_profile(
    subject: object, embedded: bytes | None, statement: Statement, tags: Image.Exif, *, gray: bool
) -> bytes | None:
    """Return the ICC profile of a picture's values; None without any statement, or for sRGB in EXIF.

    subject: the file's name, for messages.   embedded: the file's ICC profile, empty if it is damaged; for gray
    pixels, an RGB profile counts by its curve.   tags: of EXIF, or of the TIFF.   gray: whether the pixels are gray.
    Raises UnsupportedError for PQ, HLG, and statements that are not supported, such as a CMYK profile or one that
    converts in one direction only.
    """
    chunks = None if isinstance(statement, heif.Colors) else statement
    profile = None if chunks is None else png.find_overriding_profile(chunks, gray=gray, subject=subject)
    if not embedded and chunks is not None:
        embedded = png.unpack_profile(chunks)
    if profile is None and embedded is not None:
        profile = _check_profile(subject, embedded, gray=gray)
    if isinstance(statement, heif.Colors):
        profile = heif.find_profile(statement, profile, gray=gray, subject=subject)
    elif chunks is not None and profile is None:
        profile = png.find_fallback_profile(chunks, gray=gray, subject=subject)
    if profile is None:
        with warnings.catch_warnings():  # Pillow warns of damaged tags, some of which it reads only here
            warnings.simplefilter("ignore")
            profile = exif.find_profile(tags, gray=gray, subject=subject)
    if profile is not None and is_hdr(profile):
        raise hdr_error(subject)
    if profile is not None:
        _check_usable(subject, profile)
    return profile


def _check_profile(subject: object, profile: bytes, *, gray: bool) -> bytes | None:
    """Return a file's ICC profile, converted to a gray one for gray pixels; None if that equals sRGB.

    Raises UnsupportedError for a profile that does not apply to such pixels.
    """
    if profile[12:16] in _OTHERS:
        raise _profile_error(subject, "a color profile that is not for pictures")
    if profile[12:16] not in _OF_PICTURES or profile[36:40] != b"acsp":
        raise _profile_error(subject, "a damaged color profile")
    profile = _correct_size(profile)
    if is_compatible(profile, gray=gray):
        return profile
    if not is_compatible(profile, gray=False):
        space = profile[16:20].strip()
        if not space.isalnum():
            raise _profile_error(subject, "a damaged color profile")
        kind, pixels = space.decode().replace("GRAY", "gray"), "gray" if gray else "RGB"
        raise _profile_error(subject, f"a color profile for {kind}, but its pixels are {pixels}")
    parsed = parse_matrix_profile(profile)
    if parsed is None or any(not np.array_equal(curve, parsed.curves[0]) for curve in parsed.curves):
        raise _profile_error(subject, "a color profile for RGB, but its pixels are gray")
    return _build_gray_profile(parsed.curves[0])


def _correct_size(profile: bytes) -> bytes:
    """Return a profile that is as long as its header states: without padding, or with a corrected header."""
    stated = int.from_bytes(profile[:4], "big")
    if _HEADER < stated < len(profile) and not profile[stated:].strip(b"\0"):
        return profile[:stated]
    return len(profile).to_bytes(4, "big") + profile[4:]


def _check_usable(subject: object, profile: bytes) -> None:
    """Raise UnsupportedError for a profile that cannot convert to sRGB and back, such as tables for one direction."""
    try:
        if parse_matrix_profile(profile) is None:
            from_srgb(to_srgb(np.full((1, 1, 3), 0.5, np.float32), profile), profile)
    except UnsupportedError as error:
        raise _profile_error(subject, "a color profile that cannot be used") from error


def _profile_error(subject: object, what: str) -> UnsupportedError:
    return UnsupportedError(f"{subject} has {what}.", "Convert it to sRGB first.")


def _build_gray_profile(levels: np.ndarray) -> bytes | None:
    """Return a gray profile with the curve of an RGB profile; None if that equals sRGB."""
    steps = np.linspace(0, 1, _CURVE_STEPS)
    curve = np.interp(steps, np.linspace(0, 1, STEPS), levels)
    converted = build_profile("Gray of an RGB profile", REC_709, curve, gray=True)
    return None if is_srgb(converted) else converted


def build_rgb_profile(gray_profile: bytes) -> bytes:
    """Return the RGB profile of grays that are stored in three channels.

    Raises UnsupportedError for a table-based gray profile.
    """
    parsed = parse_matrix_profile(gray_profile)
    if parsed is None:
        hint = "Save it as PNG or TIFF."
        raise UnsupportedError("WebP has no gray, and this gray profile cannot be converted to RGB.", hint)
    steps = np.linspace(0, 1, _CURVE_STEPS)
    curve = np.interp(steps, np.linspace(0, 1, STEPS), parsed.curves[0])
    return build_profile("RGB of a gray profile", REC_709, curve)
