"""What the boxes of AVIF and HEIC state about the primary picture's colors and about other contents.

The boxes are those of ISO/IEC 23008-12 and 14496-12. If they state no colors, the video stream's header counts, as in
libavif and browsers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gknet.color import cicp
from gknet.errors import PictureError, UnsupportedError
from gknet.files.metadata import xmp
from gknet.files.picture import GAIN_MAP, VIDEO, damage_error
from gknet.files.statements.bitstream import Header, read_av1, read_hevc

_READABLE_MATRICES = (0, 1, 2, 4, 5, 6, 7, 8, 9, 12)
_SEQUENCES = (b"avis", b"hevc", b"hevx", b"msf1")
_GAIN_MAP = b"hdrgainmap"  # in Apple's type of an auxiliary picture
_MAX_BRANDS = _MAX_START = 4096
Box = tuple[bytes, bytes]
"""Type and content."""


@dataclass(frozen=True, slots=True)
class Colors:
    """What a file states about its primary picture.

    primaries, transfer, matrix: code points (H.273), 2 for unspecified.   is_premultiplied: whether the colors are
    multiplied by alpha.   is_limited_gray: whether the picture is stored as gray of limited range, 16 to 235 of 255,
    which decoders do not expand.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    is_premultiplied: bool = False
    is_limited_gray: bool = False


def find_profile(colors: Colors, embedded: bytes | None, *, gray: bool, subject: object) -> bytes | None:
    """Return the embedded ICC profile, or that of the code points; None if there is neither.

    subject: the file's name, for messages.
    Raises UnsupportedError for PQ, HLG, premultiplied colors, and code points that are not supported.
    """
    if colors.is_premultiplied:
        hint = "Save it with straight alpha, or as PNG."
        raise UnsupportedError(f"{subject} has premultiplied alpha, which is not supported.", hint)
    if colors.matrix not in _READABLE_MATRICES:
        message = f"{subject} has matrix coefficients {colors.matrix} (H.273), which are not supported."
        raise UnsupportedError(message, "Convert it to sRGB first.")
    return embedded or cicp.find_profile(colors.primaries, colors.transfer, gray=gray, subject=subject)


def read_colors(file: IO[bytes]) -> Colors:
    """Return what a file states about its primary picture; the defaults if it states nothing or is damaged."""
    try:
        return _parse_colors(dict(_split_boxes(_read_meta(file)[4:])), file)
    except (struct.error, IndexError, KeyError):
        return Colors()


def find_notes(file: IO[bytes], packet: bytes) -> list[str]:
    """Return notes on a gain map and a video, which are not read.   packet: the file's XMP, empty without any."""
    meta = _read_meta(file)
    items = dict(_split_boxes(meta[4:])).get(b"iinf", b"")
    entries = _split_boxes(items[8 if items[:1] > b"\0" else 6 :])
    kinds = [content[8:12] if content[:1] == b"\2" else content[10:14] for _, content in entries]
    notes = [GAIN_MAP] if b"tmap" in kinds or _GAIN_MAP in meta.lower() else []
    return [*notes, VIDEO] if xmp.announces_video(packet) or _has_box(file, b"mpvd") else notes


def find_error(path: Path) -> PictureError | UnsupportedError:
    """Return the error for a file whose picture cannot be decoded."""
    with path.open("rb") as file:
        has_still = any(kind == b"pitm" for kind, _ in _split_boxes(_read_meta(file)[4:]))
        if is_sequence(file) and not has_still:
            hint = "Save one of its frames as PNG."
            return UnsupportedError(f"{path} is a video or animation without a still picture.", hint)
    return damage_error(path)


def is_sequence(file: IO[bytes]) -> bool:
    """Whether a file declares a sequence of pictures, such as an animation."""
    file.seek(0)
    size, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
    brands = file.read(min(size, _MAX_BRANDS)) if kind == b"ftyp" else b""
    return any(brands[i : i + 4] in _SEQUENCES for i in range(0, len(brands), 4))


def _read_meta(file: IO[bytes]) -> bytes:
    """Return the content of the meta box, empty if there is none."""
    for kind, size in _walk_boxes(file):
        if kind == b"meta":
            return file.read(size)
    return b""


def _has_box(file: IO[bytes], wanted: bytes) -> bool:
    """Whether a file has a box outside others."""
    return any(kind == wanted for kind, _ in _walk_boxes(file))


def _walk_boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the type of every box outside others, and the size of its content, which the file is at."""
    end, start = file.seek(0, os.SEEK_END), 0
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = int.from_bytes(file.read(8), "big"), 16
        if size and size < head:
            return
        # A size of 0 means up to the file's end.
        following = min(start + size, end) if size else end
        yield kind, max(following - start - head, 0)
        start = following


def _split_boxes(content: bytes) -> Iterator[Box]:
    offset = 0
    while offset + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, offset)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", content, offset + 8), 16
        end = offset + size if size else len(content)
        if end < offset + head:
            return
        yield kind, content[offset + head : end]
        offset = end


def _parse_colors(meta: dict[bytes, bytes], file: IO[bytes]) -> Colors:
    references = list(_read_references(meta.get(b"iref", bytes(4))))
    (primary,) = struct.unpack_from(">I" if meta[b"pitm"][0] else ">H", meta[b"pitm"], 4)
    # A grid that states nothing takes its tiles' statement.
    items = [primary, *(to for kind, of, to in references if (kind, of) == (b"dimg", primary))]
    properties = list(_split_boxes(meta[b"iprp"]))
    shared = list(_split_boxes(dict(properties)[b"ipco"]))
    associations = [entry for kind, content in properties if kind == b"ipma" for entry in _read_associations(content)]
    found = [
        (item, *shared[index - 1]) for item in items for owner, index in associations if owner == item and index > 0
    ]
    stated = (content for _, kind, content in found if kind == b"colr" and content[:4] == b"nclx")
    box = next(stated, None)
    header = _parse_box(box) if box else _read_stream(found, meta, file)
    is_gray = any(_is_gray(kind, content) for _, kind, content in found)
    is_premultiplied = any((kind, of) == (b"prem", primary) for kind, of, _ in references)
    return Colors(*header.points, is_premultiplied, is_gray and header.is_limited)


def _parse_box(box: bytes) -> Header:
    """Return the colors in a colr box of type nclx."""
    primaries, transfer, matrix, flags = struct.unpack_from(">3HB", box, 4)
    return Header((primaries, transfer, matrix), not flags & 128)


def _is_gray(kind: bytes, content: bytes) -> bool:
    """Whether a property is the configuration of a decoder for gray pictures."""
    if kind == b"av1C":
        return bool(content[2] & 16)
    return kind == b"hvcC" and content[16] & 3 == 0


def _read_stream(found: list[tuple[int, bytes, bytes]], meta: dict[bytes, bytes], file: IO[bytes]) -> Header:
    """Return the colors of the first item with a stream.   found: item, type and content of each property."""
    for item, kind, content in found:
        if kind == b"hvcC":
            return read_hevc(content)
        if kind == b"av1C":
            return read_av1(content[4:] or _read_start(item, meta, file))
    return Header()


def _read_start(item: int, meta: dict[bytes, bytes], file: IO[bytes]) -> bytes:
    """Return the first bytes of an item's data by the iloc box; empty if they are not found."""
    location = meta[b"iloc"]
    version, sizes = location[0], (location[4] >> 4, location[4] & 15, location[5] >> 4, location[5] & 15)
    offset_size, length_size, base_size, index_size = sizes
    letter = "I" if version == 2 else "H"
    offset = 6

    def read(size: int) -> int:
        nonlocal offset
        offset += size
        return int.from_bytes(location[offset - size : offset], "big")

    for _ in range(read(struct.calcsize(letter))):
        number, method = read(struct.calcsize(letter)), read(2) & 15 if version else 0
        offset += 2
        base, extents = read(base_size), read(2)
        for i in range(extents):
            offset += index_size if version else 0
            start, length = base + read(offset_size), read(length_size)
            if (number, i) != (item, 0):
                continue
            if method == 1:
                return meta[b"idat"][start : start + min(length, _MAX_START)]
            file.seek(start)
            return file.read(min(length, _MAX_START)) if method == 0 else b""
    return b""


def _read_references(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, source and target of every reference between items."""
    letter = "I" if content[0] else "H"
    for kind, box in _split_boxes(content[4:]):
        source, count = struct.unpack_from(f">{letter}H", box)
        for target in struct.unpack_from(f">{count}{letter}", box, struct.calcsize(f">{letter}H")):
            yield kind, source, target


def _read_associations(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield items and the indices, from 1, of their properties, as the ipma box associates them."""
    item, number, bits = (">I" if content[0] else ">H"), (">H" if content[3] & 1 else ">B"), 15 if content[3] & 1 else 7
    (count,) = struct.unpack_from(">I", content, 4)
    offset = 8
    for _ in range(count):
        (owner,) = struct.unpack_from(item, content, offset)
        offset += struct.calcsize(item) + 1
        for _ in range(content[offset - 1]):
            yield owner, struct.unpack_from(number, content, offset)[0] & ((1 << bits) - 1)
            offset += struct.calcsize(number)
