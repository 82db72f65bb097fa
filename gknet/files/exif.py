"""EXIF and IPTC in TIFF files, which store them in directories of their own that libvips does not copy."""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

# Tags of a TIFF outside its EXIF block: maker, model, place on the page, software, date, artist, copyright and so on.
_TIFF_TEXTS = (269, 271, 272, 285, 286, 287, 305, 306, 315, 316, 18246, 33300, 33301, 33432, *range(40091, 40096))
_DIRECTORIES = (0x8769, 0x8825)  # EXIF and GPS
_IPTC = 33723


def remove_thumbnail(exif: bytes) -> bytes:
    """Return an EXIF block without the link to its second directory, the thumbnail's."""
    start = 6 if exif.startswith(b"Exif") else 0
    order = "<" if exif[start : start + 2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + first)
    except struct.error:
        return exif
    link = start + first + 2 + 12 * count
    return exif[:link] + bytes(4) + exif[link + 4 :]


def _collect_tags(exif: Image.Exif) -> dict[int, Any]:
    notes = {tag: exif[tag] for tag in _TIFF_TEXTS if tag in exif}
    return notes | {tag: values for tag in _DIRECTORIES if (values := exif.get_ifd(tag))}


def read_tiff_exif(path: Path) -> bytes:
    """Return a TIFF's texts and EXIF, which libvips ignores, as the EXIF block that other formats have."""
    with contextlib.suppress(Exception), warnings.catch_warnings():  # damaged metadata should not cost the picture
        warnings.simplefilter("ignore")
        exif, block = Image.Exif(), Image.Exif()
        with path.open("rb") as file:
            exif.load_from_fp(file)
            block.update(_collect_tags(exif))
        return block.tobytes() if len(block) else b""
    return b""


def _build_directory(metadata: Mapping[str, Any], start: int) -> bytes:
    """Return the same tags, and IPTC, as a TIFF directory to be stored at `start`; empty if there are none."""
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exif, directory = Image.Exif(), TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
        exif.load(metadata.get("exif-data", b""))
        for tag, value in _collect_tags(exif).items():
            directory[tag] = value
        if "iptc-data" in metadata:
            directory.tagtype[_IPTC] = 7  # bytes; libvips declares 32-bit numbers, which other programs misread
            directory[_IPTC] = metadata["iptc-data"]
        return directory.tobytes(start) if len(directory) else b""
    return b""


def add_tiff_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Add texts, EXIF and IPTC to a TIFF that libvips wrote without them: a new directory replaces its first one."""
    start = path.stat().st_size
    start += start % 2
    block = _build_directory(metadata, start)
    with path.open("r+b") as file:
        if not block or file.read(4) != b"II*\0":  # not supported in BigTIFF
            return
        file.seek(struct.unpack("<I", file.read(4))[0])
        entries = _split_entries(file.read(2 + 12 * 100)) + _split_entries(
            block
        )  # the values that they point to stay in place
        file.seek(start)
        file.write(block + bytes(len(block) % 2))
        place = file.tell()
        merged = {struct.unpack("<H", entry[:2])[0]: entry for entry in entries}
        file.write(struct.pack("<H", len(merged)) + b"".join(merged[tag] for tag in sorted(merged)) + bytes(4))
        file.seek(4)
        file.write(struct.pack("<I", place))


def _split_entries(directory: bytes) -> list[bytes]:
    (count,) = struct.unpack("<H", directory[:2])
    return [directory[2 + 12 * i : 14 + 12 * i] for i in range(count)]
