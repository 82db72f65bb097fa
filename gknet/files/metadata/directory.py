"""Directories of tags, as in TIFF files and EXIF blocks (TIFF 6.0, section 2; BigTIFF). Values stay as bytes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias, Union

import numpy as np

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_NESTED = (EXIF, GPS, INTEROPERABILITY)
USER_COMMENT = 0x9286
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_RATIONAL = 5
_WORDS = {_RATIONAL: 4, 10: 4}  # rationals are pairs
_LARGEST = 2**32 - 1  # number of a rational
_MAX_BYTES = 64 << 20  # of one value
_MAX_DEPTH = 3  # of nested directories


class Value(NamedTuple):
    """A tag's type and its bytes, in little-endian order."""

    type: int
    content: bytes


Directory: TypeAlias = dict[int, Union[Value, "Directory"]]


def parse_header(data: Any) -> tuple[str, bool, int]:
    """Return a TIFF's byte order, whether it is a BigTIFF, and the offset of its first directory.

    data: the file's first 16 bytes, or more.   Raises struct.error if they are cut short.
    """
    order, is_big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    (offset,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    return order, is_big, offset


def parse_directory(data: Any, offset: int, order: str, *, is_big: bool = False, depth: int = 0) -> Directory:
    """Return the directory at an offset of a file or block. Values and nested directories outside it are left out.

    data: bytes or a memory map.   order: "<" or ">".   Raises struct.error if the directory itself is cut short.
    """
    counter, entry = ("Q", "HHQ8s") if is_big else ("H", "HHI4s")
    (count,) = struct.unpack_from(order + counter, data, offset)
    offset += struct.calcsize(order + counter)
    found: Directory = {}
    length_of_entry = struct.calcsize(order + entry)
    if depth:  # a nested directory that is cut short keeps its other entries
        count = min(count, (len(data) - offset) // length_of_entry)
    for i in range(min(count, 65535)):
        tag, kind, number, inline = struct.unpack_from(order + entry, data, offset + i * length_of_entry)
        length = _SIZES.get(kind, 0) * number
        (link,) = struct.unpack(order + ("Q" if is_big else "I"), inline)
        if tag in _NESTED:
            with contextlib.suppress(struct.error, OverflowError):
                if depth < _MAX_DEPTH:
                    found[tag] = parse_directory(data, link, order, is_big=is_big, depth=depth + 1)
        elif 0 < length <= _MAX_BYTES:
            content = bytes(inline[:length] if length <= len(inline) else data[link : link + length])
            if len(content) == length:  # if a tag appears twice, the first entry counts
                found.setdefault(tag, Value(kind, _reorder(tag, kind, content) if order == ">" else content))
    return found


def build_directory(directory: Mapping[int, Any], start: int, *, is_big: bool = False) -> bytes:
    """Return a directory and its values as little-endian bytes for an offset, without a link to a next directory."""
    counter, entry, link = ("<Q", "<HHQ", "<Q") if is_big else ("<H", "<HHI", "<I")
    inline = struct.calcsize(link)
    entries, pool = [], b""
    offset = start + struct.calcsize(counter) + (struct.calcsize(entry) + inline) * len(directory) + inline
    for tag in sorted(directory):
        value = directory[tag]
        if isinstance(value, Value):
            kind, content = value
            number = len(content) // _SIZES[kind]
        else:
            kind, number, content = (16 if is_big else 4), 1, struct.pack(link, offset + len(pool))
            pool += build_directory(value, offset + len(pool), is_big=is_big)
        if len(content) > inline:
            content, pool = struct.pack(link, offset + len(pool)), pool + content + bytes(len(content) % 2)
        entries.append(struct.pack(entry, tag, kind, number) + content.ljust(inline, b"\0"))
    return struct.pack(counter, len(entries)) + b"".join(entries) + bytes(inline) + pool


def build_rational(number: float) -> Value:
    """Return a number, 0 or more, as a tag's value."""
    number = min(number, _LARGEST)
    ratio = Fraction(number).limit_denominator(min(10**6, int(_LARGEST / max(number, 1))))
    return Value(_RATIONAL, struct.pack("<2I", ratio.numerator, ratio.denominator))


def append_directory(block: bytearray, offset: int | None, tags: Mapping[int, Value | Directory], order: str) -> int:
    """Append the directory at an offset of a block, with tags added or replaced, and return its new offset.

    offset: None for a new directory. All values, also those that other entries point to, stay where they are.
    order: the block's, "<" or ">".   Raises struct.error if the old directory is cut short.
    """
    entries: dict[int, bytes] = {}
    if offset is not None:
        (count,) = struct.unpack_from(order + "H", block, offset)
        for start in range(offset + 2, offset + 2 + 12 * count, 12):
            (tag,) = struct.unpack_from(order + "H", block, start)
            entries.setdefault(tag, bytes(block[start : start + 12]).ljust(12, b"\0"))
    for tag, value in tags.items():
        if isinstance(value, Value):
            kind, content = value
            number = len(content) // _SIZES[kind]
            if order == ">":
                is_utf_16 = tag == USER_COMMENT and content.startswith(b"UNICODE\0")
                content = content[:8] + _swap(content[8:], 2) if is_utf_16 else _swap(content, _get_word_size(kind))
        else:
            (nested,) = struct.unpack_from(order + "I", entries[tag], 8) if tag in entries else (None,)
            kind, number = 4, 1
            content = struct.pack(order + "I", append_directory(block, nested, value, order))
        if len(content) > 4:
            block += bytes(len(block) % 2)
            content, link = struct.pack(order + "I", len(block)), content
            block += link
        entries[tag] = struct.pack(order + "HHI", tag, kind, number) + content.ljust(4, b"\0")
    block += bytes(len(block) % 2)
    place = len(block)
    block += struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return place


def _reorder(tag: int, kind: int, content: bytes) -> bytes:
    """Turn big-endian values into little-endian ones."""
    if tag == USER_COMMENT and content.startswith(b"UNICODE\0"):
        text = content[8 : 8 + (len(content) - 8) // 2 * 2]
        # UTF-16, in the block's order or not: the upper bytes vary less.
        return content[:8] + (_swap(text, 2) if len(set(text[::2])) <= len(set(text[1::2])) else text)
    return _swap(content, _get_word_size(kind))


def _get_word_size(kind: int) -> int:
    """Return the bytes of one number of a type."""
    return _WORDS.get(kind, _SIZES[kind])


def _swap(content: bytes, size: int) -> bytes:
    return np.frombuffer(content, f">u{size}").astype(f"<u{size}").tobytes() if size > 1 else content
