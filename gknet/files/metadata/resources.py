"""Photoshop's image resources, the blocks of APP13 in JPEG and of tag 34377 in TIFF (Photoshop File Formats, 2019)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

IPTC = 0x0404
THUMBNAILS = (0x0409, 0x040C)


def clean_resources(blocks: bytes) -> bytes:
    """Return all resources except thumbnails."""
    return b"".join(block for number, _, block in _split_resources(blocks) if number not in THUMBNAILS)


def find_iptc(blocks: bytes) -> bytes:
    """Return the IPTC records among the resources; empty if there are none."""
    return next((content for number, content, _ in _split_resources(blocks) if number == IPTC), b"")


def has_more_than_iptc(blocks: bytes) -> bool:
    """Whether there are resources besides IPTC records."""
    return any(number != IPTC for number, _, _ in _split_resources(blocks))


def build_iptc(records: bytes) -> bytes:
    """Return IPTC records as a resource."""
    return b"8BIM" + struct.pack(">HHI", IPTC, 0, len(records)) + records + bytes(len(records) % 2)


def _split_resources(blocks: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the number, the content and the whole block of every resource, up to the first damaged one."""
    offset = 0
    while len(blocks) >= offset + 12 and blocks[offset : offset + 4].isalnum():
        (number,) = struct.unpack_from(">H", blocks, offset + 4)
        start = offset + 6 + (blocks[offset + 6] // 2 + 1) * 2  # the name has a length and is padded
        if len(blocks) < start + 4:
            return
        (size,) = struct.unpack_from(">I", blocks, start)
        content = blocks[start + 4 : start + 4 + size]
        if len(content) < size:
            return
        end = start + 4 + size + size % 2
        yield number, content, blocks[offset:end].ljust(end - offset, b"\0")
        offset = end
