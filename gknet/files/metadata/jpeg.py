"""Metadata in the segments of a JPEG (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from gknet.files.metadata import resources, xmp
from gknet.files.metadata.resolution import build_resolution, convert_resolution, find_aspect
from gknet.files.metadata.texts import decode_text

_EXIF, _XMP, _EXTENSION = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_JFIF, _PHOTOSHOP = b"JFIF\0", b"Photoshop 3.0\0"
_APP0, _APP1, _APP13, _COMMENT = 0xE0, 0xE1, 0xED, 0xFE
START_BYTES = 2
"""Bytes of a JPEG's start marker."""
_UNITS = ("", "in", "cm")  # by JFIF's numbers
MAX_SEGMENT_BYTES = 65533
"""Largest content of a segment, in bytes."""
MAX_EXIF = MAX_SEGMENT_BYTES - len(_EXIF)
"""Largest EXIF block, in bytes."""


def read_metadata(path: Path) -> dict[str, Any]:
    """Return EXIF, XMP and its extension, IPTC, Photoshop's resources, comments and JFIF's resolution.

    EXIF and XMP are as in the file. The index of a multi-picture file is left out.
    """
    with path.open("rb") as file:
        segments = list(read_segments(file))

    def select(marker: int, head: bytes) -> list[bytes]:
        return [body.removeprefix(head) for kind, body in segments if kind == marker and body.startswith(head)]

    found: dict[str, Any] = {}
    for body in select(_APP0, _JFIF)[:1]:
        if len(body) >= 7 and body[2] < len(_UNITS):
            across, down = struct.unpack_from(">2H", body, 3)
            found |= build_resolution(across, down, _UNITS[body[2]])
    for block in [block for block in select(_APP1, _EXIF) if block][:1]:  # some writers leave an empty one first
        found["exif-data"] = block
    for packet in select(_APP1, _XMP)[:1]:
        found["xmp-data"] = packet
        found["xmp-extension"] = xmp.join_extension(packet, select(_APP1, _EXTENSION))
    blocks = b"".join(select(_APP13, _PHOTOSHOP))
    found["photoshop-data"] = resources.clean_resources(blocks)
    found["iptc-data"] = resources.find_iptc(blocks)
    found["comments"] = select(_COMMENT, b"")
    return {name: value for name, value in found.items() if value}


def build_segments(metadata: Mapping[str, Any]) -> bytes:
    """Return the segments that follow a JPEG's start marker."""
    unit = 2 if metadata.get("resolution-unit") == "cm" else 1
    numbers = convert_resolution(metadata, _UNITS[unit])
    if numbers is None:
        unit, numbers = 0, find_aspect(metadata, 65535) or (1, 1)
    density = [min(max(round(number), 1), 65535) for number in numbers]
    segments = [(_APP0, _JFIF + struct.pack(">2B B2H 2B", 1, 1, unit, *density, 0, 0))]
    if block := metadata.get("exif-data"):
        segments.append((_APP1, _EXIF + block))
    if packet := metadata.get("xmp-data"):
        main, parts = xmp.split_packet(packet, MAX_SEGMENT_BYTES - len(_EXTENSION))
        segments += [(_APP1, _XMP + main), *((_APP1, _EXTENSION + part) for part in parts)]
    blocks, step = metadata.get("photoshop-data", b""), MAX_SEGMENT_BYTES - len(_PHOTOSHOP)
    if "iptc-data" in metadata and not resources.find_iptc(blocks):
        blocks += resources.build_iptc(metadata["iptc-data"])
    segments += [(_APP13, _PHOTOSHOP + blocks[i : i + step]) for i in range(0, len(blocks), step)]
    for comment in metadata.get("comments", ()):
        segments += [(_COMMENT, comment[i : i + MAX_SEGMENT_BYTES]) for i in range(0, len(comment), MAX_SEGMENT_BYTES)]
    return b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)


def read_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return a JPEG's comments under PNG's keyword for them."""
    comments = [decode_text(comment) for comment in metadata.get("comments", ())]
    return {"Comment": "\n".join(comments)} if comments else {}


def read_segments(file: IO[bytes], start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of every segment before the pixels.   start: offset of the JPEG in the file."""
    file.seek(start + START_BYTES)
    while (marker := file.read(2)) and marker[0] == 0xFF:
        while marker[1:] == b"\xff":  # padding
            marker = b"\xff" + file.read(1)
        length = file.read(2)
        if marker[1:] in (b"\xda", b"\xd9", b"") or len(length) < 2:
            return
        yield marker[1], file.read(max(0, struct.unpack(">H", length)[0] - 2))
