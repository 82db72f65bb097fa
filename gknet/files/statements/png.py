"""What a PNG's chunks state about its colors and its position (PNG, third edition, 4.3 and 11.3; extensions)."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from typing import IO

import numpy as np

from gknet.color import cicp
from gknet.color.icc import REC_709, SRGB_CURVE, Chromaticities, Curve, build_profile
from gknet.errors import UnsupportedError

NO_RESOLUTION = "the position on a page, in micrometers, is left out, because the file states no resolution"
"""Note on a file with one."""
_SIGNATURE_BYTES = 8
_MAX_BYTES = 100  # of a chunk; those read here, except iCCP, are shorter
_MAX_PROFILE = 64 << 20
_SRGB_GAMMA = 45455  # means sRGB's curve if the primaries are sRGB's or not stated
_PQ_NAME = b"ITUR_2100_PQ_FULL"  # by this profile's name, programs store PQ in PNG (W3C note png-hdr-pq)


def read_chunks(file: IO[bytes]) -> dict[bytes, bytes]:
    """Return the chunks before the pixels; all except iCCP are cut off after a few bytes."""
    chunks: dict[bytes, bytes] = {}
    file.seek(_SIGNATURE_BYTES)
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        (length,) = struct.unpack(">I", head[:4])
        content = file.read(min(length, _MAX_PROFILE if head[4:] == b"iCCP" else _MAX_BYTES))
        chunks[head[4:]] = content
        file.seek(length - len(content) + 4, os.SEEK_CUR)
    return chunks


def read_position(chunks: Mapping[bytes, bytes]) -> tuple[int, int]:
    """Return the position on a page (oFFs, or caNv by ImageMagick) in pixels; (0, 0) if it is not stated.

    A position in micrometers counts only with a resolution.
    """
    if len(offset := chunks.get(b"oFFs", b"")) == 9 and offset[8] < 2:
        left, top, in_micrometers = struct.unpack(">iiB", offset)
        if in_micrometers:
            across, down = _read_resolution(chunks)
            return round(left * across / 1e6), round(top * down / 1e6)
    elif len(canvas := chunks.get(b"caNv", b"")) == 16:
        left, top = struct.unpack_from(">8xii", canvas)
    else:
        left = top = 0
    return left, top


def find_notes(chunks: Mapping[bytes, bytes]) -> list[str]:
    """Return a note on a position that `read_position` cannot convert to pixels."""
    offset = chunks.get(b"oFFs", b"")
    is_lost = len(offset) == 9 and offset[8] == 1 and offset[:8] != bytes(8) and not all(_read_resolution(chunks))
    return [NO_RESOLUTION] if is_lost else []


def _read_resolution(chunks: Mapping[bytes, bytes]) -> tuple[int, int]:
    """Return the pixels per meter across and down; (0, 0) if they are not stated."""
    density = chunks.get(b"pHYs", b"")
    return struct.unpack_from(">2I", density) if len(density) == 9 and density[8] == 1 else (0, 0)


def unpack_profile(chunks: Mapping[bytes, bytes]) -> bytes | None:
    """Return iCCP's profile, empty if it is damaged; None without one.

    Needed because libpng drops a profile that it considers invalid, such as an RGB profile in a gray PNG.
    """
    if b"iCCP" not in chunks:
        return None
    packed = chunks[b"iCCP"].partition(b"\0")[2][1:]  # a name, and the kind of compression
    try:
        return zlib.decompressobj().decompress(packed, _MAX_PROFILE)
    except zlib.error:
        return b""


def find_overriding_profile(chunks: Mapping[bytes, bytes], *, gray: bool, subject: object) -> bytes | None:
    """Return the ICC profile of cICP, which overrides an embedded one; None without it.

    chunks: as from `read_chunks`.   subject: the file's name, for messages.
    Raises UnsupportedError for PQ, HLG and an invalid cICP.
    """
    if b"cICP" in chunks:
        primaries, transfer, matrix, is_full = chunks[b"cICP"].ljust(4, b"\0")[:4]
        if matrix != 0 or is_full != 1:
            raise UnsupportedError(f"{subject} does not have full-range RGB (cICP).", "Convert it to sRGB first.")
        profile = cicp.find_profile(primaries, transfer, gray=gray, subject=subject)
        if profile is not None:
            return profile
    if chunks.get(b"iCCP", b"").startswith(_PQ_NAME):
        raise cicp.hdr_error(subject)
    return None


def find_fallback_profile(chunks: Mapping[bytes, bytes], *, gray: bool, subject: object) -> bytes | None:
    """Return the ICC profile of sRGB, or of gAMA with cHRM, which count only without an embedded one; None without any.

    chunks, subject: as for `find_overriding_profile`. Raises UnsupportedError for invalid numbers.
    """
    if b"sRGB" in chunks:
        return build_profile("sRGB", REC_709, SRGB_CURVE, gray=gray)
    try:
        return _build_profile(chunks.get(b"gAMA"), chunks.get(b"cHRM"), gray=gray)
    except (struct.error, ValueError, ArithmeticError) as error:
        message = f"{subject} has a gamma or primaries (gAMA, cHRM) that cannot be used."
        raise UnsupportedError(message, "Convert it to sRGB first.") from error


def _build_profile(gamma_chunk: bytes | None, primaries_chunk: bytes | None, *, gray: bool) -> bytes | None:
    gamma = 0 if gamma_chunk is None else struct.unpack(">I", gamma_chunk)[0]
    if gamma == 0 and primaries_chunk is None:  # the standard calls a gamma of 0 a mistake to be ignored
        return None
    chromaticities: Chromaticities = REC_709
    if primaries_chunk is not None:
        white_x, white_y, *others = (number / 100_000 for number in struct.unpack(">8I", primaries_chunk))
        chromaticities = (*others, white_x, white_y)
    if np.allclose(chromaticities, REC_709, atol=0.0011):
        chromaticities = REC_709
        is_srgb = gamma == 0 or abs(gamma - _SRGB_GAMMA) < 100
    else:
        is_srgb = gamma == 0
    curve: Curve = SRGB_CURVE if is_srgb else (100_000 / gamma,)
    name = "sRGB" if chromaticities == REC_709 and is_srgb else f"PNG gamma {gamma / 100_000:g}"
    return build_profile(name, chromaticities, curve, gray=gray)
