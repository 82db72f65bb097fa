"""Metadata in the first directory of a TIFF."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gknet.files.metadata import exif, resolution, resources
from gknet.files.metadata.directory import (
    Directory,
    Value,
    build_directory,
    build_rational,
    parse_directory,
    parse_header,
)
from gknet.files.metadata.page_layout import remove_page_layout

_ORIENTATION, _XMP, _IPTC, _PHOTOSHOP = 274, 700, 33723, 34377
_BLOCKS = (_XMP, _IPTC, _PHOTOSHOP)
_POSITION = (286, 287)
_RESOLUTION = (resolution.ACROSS, resolution.DOWN, resolution.UNIT)
_BYTE, _SHORT, _UNDEFINED = 1, 3, 7


def read_metadata(path: Path) -> dict[str, bytes]:
    """Return EXIF with the TIFF's own texts, XMP as in the file, IPTC and Photoshop's resources, without thumbnails."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            order, is_big, offset = parse_header(data)
            directory = parse_directory(data, offset, order, is_big=is_big)
            description = directory.get(exif.DESCRIPTION)
            if isinstance(description, Value):
                has_pages = _has_next(data, offset, order, is_big=is_big)
                content = remove_page_layout(description.content, has_pages=has_pages)
                directory[exif.DESCRIPTION] = Value(description.type, content)
        except (struct.error, OverflowError):  # damaged metadata must not prevent reading the picture
            return {}
    blocks = {tag: value.content for tag in _BLOCKS if isinstance(value := directory.get(tag), Value)}
    photoshop = blocks.get(_PHOTOSHOP, b"")
    shared = exif.select_shared(directory)
    found = {
        "exif-data": exif.build_exif({tag: value for tag, value in shared.items() if not _is_empty(value)}),
        "xmp-data": blocks.get(_XMP, b""),
        "photoshop-data": resources.clean_resources(photoshop),
        "iptc-data": _restore_records(blocks.get(_IPTC, b"")) or resources.find_iptc(photoshop),
    }
    return {name: value for name, value in found.items() if value}


def add_metadata(path: Path, metadata: Mapping[str, Any], orientation: int) -> None:
    """Add metadata to a little-endian TIFF that was written without it: a new directory replaces its first one.

    The resolution that the TIFF states is replaced, too, or removed.
    """
    directory = exif.parse_shared_tags(metadata.get("exif-data", b""))
    for tag, kind, name in (
        (_XMP, _BYTE, "xmp-data"),
        (_PHOTOSHOP, _UNDEFINED, "photoshop-data"),
        # As bytes; libvips declares 32-bit numbers, which other programs misread.
        (_IPTC, _UNDEFINED, "iptc-data"),
    ):
        if name in metadata:
            directory[tag] = Value(kind, metadata[name])
    density = resolution.build_tags(metadata)
    if position := metadata.get("position"):
        density = density or resolution.build_tags({"aspect": (1, 1)})
        for tag, distance, scale in zip(_POSITION, position, _RESOLUTION[:2], strict=True):
            above, below = struct.unpack("<2I", density[scale].content)
            directory[tag] = build_rational(distance * below / above)
    directory |= density
    if orientation != 1:
        directory[_ORIENTATION] = Value(_SHORT, struct.pack("<H", orientation))
    with path.open("r+b") as file:
        is_big = file.read(4) == b"II+\0"
        counter, length, link = ("<Q", 20, "<Q") if is_big else ("<H", 12, "<I")
        file.seek(8 if is_big else 4)
        file.seek(struct.unpack(link, file.read(struct.calcsize(link)))[0])
        first = file.read(struct.calcsize(counter) + 100 * length)
        start = file.seek(0, os.SEEK_END)
        start += start % 2
        block = build_directory(directory, start, is_big=is_big)
        # Values outside the entries stay where they are.
        written = [entry for entry in _split_entries(first, counter, length) if _get_tag(entry) not in _RESOLUTION]
        entries = {entry[:2]: entry for entry in [*written, *_split_entries(block, counter, length)]}
        file.seek(start)
        file.write(block)
        offset = file.tell()
        merged = [entries[tag] for tag in sorted(entries, key=lambda tag: tag[::-1])]
        file.write(struct.pack(counter, len(merged)) + b"".join(merged) + bytes(struct.calcsize(link)))
        file.seek(8 if is_big else 4)
        file.write(struct.pack(link, offset))


def _has_next(data: Any, offset: int, order: str, *, is_big: bool) -> bool:
    """Whether another directory follows the one at an offset. Raises struct.error if the file is cut short."""
    counter, length, link = (order + "Q", 20, order + "Q") if is_big else (order + "H", 12, order + "I")
    (count,) = struct.unpack_from(counter, data, offset)
    return bool(struct.unpack_from(link, data, offset + struct.calcsize(counter) + count * length)[0])


def _is_empty(value: Value | Directory) -> bool:
    return isinstance(value, Value) and not value.content


def _restore_records(records: bytes) -> bytes:
    """Return IPTC records in their original order, even if they were stored as byte-swapped 32-bit numbers."""
    if records[:1] != b"\x1c" and records[3:4] == b"\x1c":
        return b"".join(records[i : i + 4][::-1] for i in range(0, len(records), 4))
    return records


def _get_tag(entry: bytes) -> int:
    return int.from_bytes(entry[:2], "little")


def _split_entries(directory: bytes, counter: str, length: int) -> list[bytes]:
    (count,) = struct.unpack_from(counter, directory)
    start = struct.calcsize(counter)
    return [directory[start + length * i : start + length * (i + 1)] for i in range(count)]
