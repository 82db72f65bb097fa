"""Metadata of whole files: reading, cleaning, and writing to the same or to another format."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gknet.files.metadata import exif, jpeg, png, tiff, webp, xmp

_BLOCK_BYTES = 8 << 20  # moved at a time
_READ_TEXTS = {"jpeg": jpeg.read_texts, "png": png.read_texts}
_CLEAN: dict[str, Callable[[bytes], bytes]] = {"exif-data": exif.clean_exif, "xmp-data": xmp.clean_xmp}


def read_metadata(path: Path, format: str) -> dict[str, Any]:
    """Return the metadata of a JPEG, PNG, TIFF or WebP that should be kept; of any other format, none.

    "exif-data", "xmp-data", "iptc-data": bytes.   "photoshop-data": resources of JPEG or TIFF.
    "comments": of JPEG, bytes.   "png-texts": whole chunks.   A block that is missing or damaged is left out.
    """
    if format == "png":
        with path.open("rb") as file:
            return png.read_metadata(file)
    readers = {"jpeg": jpeg.read_metadata, "tiff": tiff.read_metadata, "webp": webp.read_metadata}
    return readers[format](path) if format in readers else {}


def read_png_metadata(content: bytes) -> dict[str, Any]:
    """Return the metadata of a PNG's bytes."""
    return png.read_metadata(io.BytesIO(content))


def find_orientation(metadata: Mapping[str, Any], format: str) -> int:
    """Return the orientation in metadata from `read_metadata`, EXIF before XMP; 0 if there is none.

    For AVIF and HEIC it is 1, because their decoders apply the orientation in the boxes.
    """
    if format in ("heif", "heic"):
        return 1
    return exif.find_orientation(metadata.get("exif-data", b"")) or xmp.find_orientation(metadata.get("xmp-data", b""))


def clean_metadata(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return EXIF and XMP that another library found in a file, as `read_metadata` would."""
    cleaned = {name: clean(found[name] or b"") for name, clean in _CLEAN.items() if name in found}
    return {name: block for name, block in cleaned.items() if block}


def adapt_metadata(
    metadata: Mapping[str, Any], source: str, target: str, orientation: int, size: tuple[int, int]
) -> dict[str, Any]:
    """Return metadata of a `source` file as a `target` file holds it.

    orientation, size: of the pixels as the target stores them; (width, height).
    Comments and texts that the target cannot store are moved to EXIF tags if there are any for them.
    """
    block = exif.set_orientation(metadata.get("exif-data", b""), orientation, size)
    found = {**metadata, "xmp-data": xmp.set_orientation(metadata.get("xmp-data", b""), orientation)}
    if source != target and source in _READ_TEXTS:
        texts = _READ_TEXTS[source](metadata)
        if target == "png":
            found["png-texts"] = [png.build_text(*text) for text in texts.items()]
        elif target == "jpeg" and texts.get("Comment"):
            found["comments"] = [texts.pop("Comment").encode()]
        tags = exif.parse_exif(block)
        if target != "png" and (more := exif.add_texts(tags, texts)) != tags:
            block = exif.build_exif(more)
    found["exif-data"] = block
    return {name: value for name, value in found.items() if value}


def write_metadata(
    path: Path, format: str, metadata: Mapping[str, Any], orientation: int, size: tuple[int, int], *, has_alpha: bool
) -> None:
    """Add metadata from `adapt_metadata` to a file that was written without any. Raises OSError."""
    if format == "tiff":
        tiff.add_metadata(path, metadata, orientation)
    elif format == "webp":
        webp.add_metadata(path, metadata, size, has_alpha=has_alpha)
    elif format == "png":
        _insert_bytes(path, png.HEADER_BYTES, png.build_chunks(metadata))
    else:
        _insert_bytes(path, jpeg.START_BYTES, jpeg.build_segments(metadata))


def add_png_metadata(content: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Return a PNG's bytes with metadata from `adapt_metadata`."""
    return content[: png.HEADER_BYTES] + png.build_chunks(metadata) + content[png.HEADER_BYTES :]


def _insert_bytes(path: Path, offset: int, content: bytes) -> None:
    """Insert bytes into a file in place, because it may be larger than memory."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END) if content else offset
        while end > offset:
            start = max(offset, end - _BLOCK_BYTES)
            file.seek(start)
            block = file.read(end - start)
            file.seek(start + len(content))
            file.write(block)
            end = start
        file.seek(offset)
        file.write(content)
