"""Metadata in the chunks of a WebP (RFC 9649)."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ALPHA, _EXIF, _XMP = 0x10, 0x08, 0x04  # flags of the extended header


def read_metadata(path: Path) -> dict[str, bytes]:
    """Return EXIF and XMP as in the file."""
    found = {}
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            if kind == b"EXIF":
                found["exif-data"] = file.read(size)
            elif kind == b"XMP ":
                found["xmp-data"] = file.read(size)
            else:
                file.seek(size, os.SEEK_CUR)
            file.seek(size % 2, os.SEEK_CUR)
    return {name: value for name, value in found.items() if value}


def add_metadata(path: Path, metadata: Mapping[str, Any], size: tuple[int, int], *, has_alpha: bool) -> None:
    """Add EXIF and XMP to a WebP that was written without them.   size: (width, height) as stored."""
    flags = _ALPHA * has_alpha
    content = b""
    for kind, flag, name in ((b"EXIF", _EXIF, "exif-data"), (b"XMP ", _XMP, "xmp-data")):
        if block := metadata.get(name):
            flags |= flag
            content += _build_chunk(kind, block)
    if not content:
        return
    chunks = path.read_bytes()[12:]
    if chunks.startswith(b"VP8X"):
        flags |= chunks[8]
        chunks = chunks[18:]
    lengths = b"".join(struct.pack("<I", length - 1)[:3] for length in size)
    chunks = _build_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + lengths) + chunks + content
    path.write_bytes(_build_chunk(b"RIFF", b"WEBP" + chunks))


def _build_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
