"""EXIF blocks, kept byte for byte except for previews, because maker notes contain offsets into the block."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from PIL.ExifTags import GPSTAGS, TAGS

from gknet.files.metadata import resolution
from gknet.files.metadata.directory import (
    EXIF,
    GPS,
    USER_COMMENT,
    Directory,
    Value,
    append_directory,
    build_directory,
    parse_directory,
)
from gknet.files.metadata.texts import decode_text

_HEAD = b"Exif\0\0"
_ORIENTATION = 0x0112
_ASCII, _SHORT, _UNDEFINED = 2, 3, 7
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # by type
_SIZE = (0xA002, 0xA003)  # width and height
_THUMBNAIL, _THUMBNAIL_BYTES, _STRIP, _STRIP_BYTES = 0x0201, 0x0202, 0x0111, 0x0117
_STORAGE = (_STRIP, _STRIP_BYTES, _THUMBNAIL, _THUMBNAIL_BYTES, 0x0144, 0x0145, 0x014A)
_RESOLUTION = (resolution.ACROSS, resolution.DOWN, resolution.UNIT)
_COLORS = (301, 318, 319, 529, 530, 531, 532, 0xA001, 0xA500, 1)  # 1: of the interoperability directory
_DATES = (306, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292)
_ESSENTIAL = (_ORIENTATION, *_RESOLUTION, *_COLORS, *_DATES, *_SIZE)
_JPEG_START = b"\xff\xd8\xff"
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's kind and size
DESCRIPTION, SOFTWARE, ARTIST, COPYRIGHT = 270, 305, 315, 33432
# Maker, model, position on the page, date, rating and so on, which TIFF stores outside its EXIF directory.
_TEXTS = (269, DESCRIPTION, 271, 272, 285, 286, 287, SOFTWARE, 306, ARTIST, 316, 18246, 18249, 33300, 33301, COPYRIGHT)
_WINDOWS_TEXTS = range(40091, 40096)
_PLACE_ON_EARTH = (33550, 33922, 34264, 34735, 34736, 34737)  # GeoTIFF
_SHARED = (*_TEXTS, *_WINDOWS_TEXTS, *_PLACE_ON_EARTH, EXIF, GPS)


def clean_exif(block: bytes) -> bytes:
    """Return a block without its thumbnail and without the header that JPEG puts before it.

    Previews in maker notes are overwritten with zeros. Of a damaged block, only the orientation is kept, because the
    pixels were stored by it; the result is empty without one.
    """
    content = _clean_intact(block)
    if content is not None:
        return content
    orientation = find_orientation(block.removeprefix(_HEAD))
    return build_exif({_ORIENTATION: Value(_SHORT, struct.pack("<H", orientation))} if orientation else {})


def is_damaged(block: bytes) -> bool:
    """Whether `clean_exif` leaves out more of a block than pictures. False for an empty block."""
    return bool(block) and _clean_intact(block) is None


def _clean_intact(block: bytes) -> bytes | None:
    """Return the result of `clean_exif`; None for a damaged block."""
    content = bytearray(block.removeprefix(_HEAD))
    try:
        order = _find_order(content)
        (first,) = struct.unpack_from(order + "I", content, 4)
        (count,) = struct.unpack_from(order + "H", content, first)
        link = first + 2 + 12 * count
        if link + 4 > len(content):  # some writers omit the link to the next directory
            _erase_previews(content)
            return bytes(content) if link <= len(content) else None
        (second,) = struct.unpack_from(order + "I", content, link)
        content[link : link + 4] = bytes(4)
        if second:
            with contextlib.suppress(struct.error):  # a damaged second directory describes only the thumbnail
                _erase_thumbnail(content, second, order)
        _erase_previews(content)
    except struct.error:
        return None
    return bytes(content)


def set_orientation(block: bytes, orientation: int, size: tuple[int, int]) -> bytes:
    """Return a clean block with any orientation and (width, height) in it replaced by these, at the same offsets.

    The orientation becomes a single short number, even if it was stored as another type or several times: programs
    disagree on which of them count.
    """
    if not block:
        return block
    content = bytearray(block)
    order = _find_order(content)
    (first,) = struct.unpack_from(order + "I", content, 4)
    entries = _find_entries(content, first, order)
    for tag, entry in entries:
        if tag == _ORIENTATION:
            struct.pack_into(order + "HIHH", content, entry + 2, _SHORT, 1, orientation, 0)
    for _, entry in (item for item in entries if item[0] == EXIF):
        (details,) = struct.unpack_from(order + "I", content, entry + 8)
        for tag, place in _find_entries(content, details, order):
            if tag in _SIZE:
                _set_number(content, place, order, size[_SIZE.index(tag)])
    return bytes(content)


def find_orientation(block: bytes) -> int:
    """Return the orientation that a block states, 0 if none.   block: without JPEG's header; it may be damaged."""
    try:
        order = _find_order(block)
        (first,) = struct.unpack_from(order + "I", block, 4)
    except struct.error:
        return 0
    for tag, entry in _find_entries(block, first, order):
        kind, count = struct.unpack_from(order + "HI", block, entry + 2)
        if (tag, count) == (_ORIENTATION, 1) and kind in _INTEGERS:
            (orientation,) = struct.unpack_from(order + _INTEGERS[kind], block, entry + 8)
            return int(orientation) if 1 <= orientation <= 8 else 0
    return 0


def parse_shared_tags(block: bytes) -> Directory:
    """Return those tags of a clean block that TIFF has, too; empty if it is damaged."""
    try:
        order = _find_order(block)
        found = parse_directory(block, struct.unpack_from(order + "I", block, 4)[0], order)
    except struct.error:
        return {}
    return select_shared(found)


def select_shared(directory: Directory) -> Directory:
    """Return the tags that mean the same in TIFF and EXIF and do not describe how pixels are stored."""
    return {tag: value for tag, value in directory.items() if tag in _SHARED}


def build_exif(directory: Mapping[int, Value | Directory]) -> bytes:
    """Return tags as a block, without previews, as from `clean_exif`; empty without tags."""
    if not directory:
        return b""
    block = bytearray(b"II*\0" + struct.pack("<I", 8) + build_directory(directory, 8))
    _erase_previews(block)
    return bytes(block)


def add_tags(block: bytes, tags: Mapping[int, Value | Directory]) -> bytes:
    """Return a clean block with tags added or replaced; everything else stays at its offset.

    Raises struct.error for a damaged block.
    """
    if not block:
        return build_exif(tags)
    order, content = _find_order(block), bytearray(block)
    (first,) = struct.unpack_from(order + "I", content, 4)
    struct.pack_into(order + "I", content, 4, append_directory(content, first, tags, order))
    return bytes(content)


def add_text(block: bytes, tag: int, text: str) -> bytes | None:
    """Return a clean block with a text in a tag; None if the tag has another one, or if the block is damaged."""
    try:
        if tag == USER_COMMENT:
            return _add_comment(block, text)
        stated = parse_exif(block).get(tag)
        if isinstance(stated, Value) and stated.content.strip(b"\0 "):
            return block if decode_text(stated.content) == text else None
        return add_tags(block, {tag: Value(_ASCII, text.encode() + b"\0")})
    except (struct.error, RecursionError):
        return None


def _add_comment(block: bytes, text: str) -> bytes | None:
    """Return a clean block with a user comment; None if it has another one. Raises struct.error if it is damaged."""
    details = parse_exif(block).get(EXIF)
    stated = details.get(USER_COMMENT) if isinstance(details, dict) else None
    if isinstance(stated, Value) and (comment := _decode_comment(stated.content)):
        return block if comment == text.strip() else None
    return add_tags(block, {EXIF: {USER_COMMENT: Value(_UNDEFINED, _encode_comment(text))}})


def _encode_comment(text: str) -> bytes:
    """Return a user comment with the code of its encoding, as in a little-endian block."""
    return b"ASCII\0\0\0" + text.encode() if text.isascii() else b"UNICODE\0" + text.encode("utf-16-le")


def _decode_comment(content: bytes) -> str:
    """Return the text of a user comment in a parsed block, without white space around it."""
    code, text = content[:8], content[8:]
    decoded = text.decode("utf-16-le", "replace") if code == b"UNICODE\0" else decode_text(text)
    return decoded.strip("\0 \t\r\n")


def set_resolution(block: bytes, metadata: Mapping[str, Any], *, add: bool) -> bytes:
    """Return a clean block that states the resolution in metadata; unchanged if it does or if metadata have none.

    add: whether a block without a resolution gets one.
    """
    if "xres" not in metadata:
        return block
    try:
        stated = resolution.parse_directory_tags(parse_exif(block))
        if resolution.is_same_resolution(stated, metadata) or not (stated or add):
            return block
        return add_tags(block, resolution.build_tags(metadata))
    except struct.error:
        return block


def fit_exif(block: bytes, max_bytes: int) -> tuple[bytes, list[str]]:
    """Return a block of at most `max_bytes`, and the names of the tags that are left out for it, the largest first.

    Orientation, resolution, colors, and dates are kept. If even these are too long, or if a long block is damaged, the
    result is empty, without names.
    """
    if len(block) <= max_bytes:
        return block, []
    try:
        directory = parse_exif(block)
    except (struct.error, RecursionError):
        return b"", []
    removable = sorted(
        ((len(value.content), tag, part) for part in _walk_directories(directory) for tag, value in _list_values(part)),
        key=lambda item: -item[0],
    )
    names: list[str] = []
    for _, tag, part in removable:
        if len(smaller := build_exif(directory)) <= max_bytes:
            return smaller, names
        del part[tag]
        names.append(TAGS.get(tag) or GPSTAGS.get(tag) or f"tag {tag}")
    smaller = build_exif(directory)
    return (smaller, names) if len(smaller) <= max_bytes else (b"", [])


def parse_exif(block: bytes) -> Directory:
    """Return all tags of a clean block except those that describe how pixels are stored; none of an empty block.

    Raises struct.error for a damaged block.
    """
    if not block:
        return {}
    order = _find_order(block)
    found = parse_directory(block, struct.unpack_from(order + "I", block, 4)[0], order)
    return {tag: value for tag, value in found.items() if tag not in _STORAGE}


def _walk_directories(directory: Directory) -> Iterator[Directory]:
    yield directory
    for value in directory.values():
        if isinstance(value, dict):
            yield from _walk_directories(value)


def _list_values(directory: Directory) -> list[tuple[int, Value]]:
    """Return the tags and values of a directory that can be left out."""
    return [(tag, value) for tag, value in directory.items() if isinstance(value, Value) and tag not in _ESSENTIAL]


def _find_order(block: Any) -> str:
    orders = {b"II*\0": "<", b"MM\0*": ">"}
    if (start := bytes(block[:4])) not in orders:
        raise struct.error
    return orders[start]


def _find_entries(block: Any, offset: int, order: str) -> list[tuple[int, int]]:
    """Return the tags of a directory and the offsets of its entries, as far as they are inside the block."""
    if offset + 2 > len(block):
        return []
    (count,) = struct.unpack_from(order + "H", block, offset)
    entries = range(offset + 2, min(offset + 2 + 12 * count, len(block) - 11), 12)
    return [(struct.unpack_from(order + "H", block, entry)[0], entry) for entry in entries]


def _set_number(block: bytearray, entry: int, order: str, number: int) -> None:
    """Change the value of an entry, a single short or long number."""
    kind, count = struct.unpack_from(order + "HI", block, entry + 2)
    if count == 1 and kind in (3, 4) and number < 65536 ** (kind - 2):
        struct.pack_into(order + ("H" if kind == 3 else "I"), block, entry + 8, number)


def _erase_thumbnail(block: bytearray, offset: int, order: str) -> None:
    """Overwrite the thumbnail of a directory with zeros, or remove it if it ends the block."""
    numbers = {
        tag: int.from_bytes(value.content, "little")
        for tag, value in parse_directory(block, offset, order).items()
        if isinstance(value, Value) and len(value.content) <= 4
    }
    for tag, length_tag in ((_THUMBNAIL, _THUMBNAIL_BYTES), (_STRIP, _STRIP_BYTES)):
        start, length = numbers.get(tag, 0), numbers.get(length_tag, 0)
        # A damaged offset must not erase anything else in the block.
        if start > offset or (start > 8 and block[start : start + 3] == _JPEG_START):
            end = min(start + length, len(block))
            block[start:end] = b"" if end == len(block) else bytes(end - start)


def _erase_previews(block: bytearray) -> None:
    """Overwrite every JPEG in a block with zeros; removing it would invalidate offsets in maker notes."""
    start = block.find(_JPEG_START)
    while start >= 0:
        end = _find_jpeg_end(block, start)
        block[start:end] = bytes(end - start)
        start = block.find(_JPEG_START, max(end, start + 1))


def _find_jpeg_end(block: bytearray, start: int) -> int:
    """Return the offset after the JPEG at `start`; `start` itself if there is no complete JPEG."""
    offset, has_frame, in_scan = start + 2, False, False
    while offset + 2 <= len(block):
        marker = block[offset + 1]
        if block[offset] != 0xFF:
            if not in_scan:
                return start
            offset = block.find(b"\xff", offset)
            if offset < 0:
                return start
        elif marker == 0xFF:
            offset += 1
        elif in_scan and (marker == 0 or 0xD0 <= marker <= 0xD7):  # byte stuffing, or a restart marker
            offset += 2
        elif marker == 0xD9:
            return offset + 2 if has_frame else start
        elif marker < 0xC0 or 0xD0 <= marker <= 0xD8 or offset + 4 > len(block):
            return start
        else:
            has_frame |= marker in _FRAMES
            in_scan = marker == 0xDA
            offset += 2 + int(struct.unpack_from(">H", block, offset + 2)[0])
    return start
