"""Metadata in the chunks of a PNG (PNG, third edition). Texts are kept byte for byte, whatever their encoding."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from gknet.files.metadata import resources
from gknet.files.metadata.resolution import build_resolution, convert_resolution, find_aspect
from gknet.files.metadata.texts import decode_text

_SIGNATURE_BYTES = 8
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_RAW = b"Raw profile type "  # ImageMagick's and exiftool's, in hexadecimal digits
_MAX_BYTES = 64 << 20  # of one text, unpacked
_HEADER_BYTES = 33  # signature and first chunk
LARGEST = 2**31 - 1
"""Largest number in a chunk."""


def read_metadata(file: IO[bytes]) -> dict[str, Any]:
    """Return EXIF and XMP as in the file, IPTC, the resolution, and texts as whole chunks."""
    found: dict[str, Any] = {"png-texts": []}
    for kind, body in _read_chunks(file):
        keyword = body.split(b"\0", 1)[0]
        if kind == b"pHYs":
            if len(body) == 9 and body[8] < 2:
                across, down, is_meter = struct.unpack(">2IB", body)
                found |= build_resolution(across, down, "m" if is_meter else "")
        elif kind == b"eXIf":
            found["exif-data"] = body
        elif keyword == _XMP:
            found.setdefault("xmp-data", _unpack_text(kind, body))
        elif keyword.startswith(_RAW):
            _add_raw_profile(found, keyword.removeprefix(_RAW), _unpack_text(kind, body))
        else:
            found["png-texts"].append(build_chunk(kind, body))
    return {name: value for name, value in found.items() if value}


def find_pixels(file: IO[bytes]) -> int:
    """Return the offset of the chunk with the first pixels, or of the file's end."""
    offset = file.seek(_SIGNATURE_BYTES)
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        offset = file.seek(struct.unpack(">I", head[:4])[0] + 4, os.SEEK_CUR)
    return offset


def add_metadata(head: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Return the chunks of a PNG before its pixels, with metadata added; an existing resolution is removed.

    head: all bytes before the pixels, with the signature.
    """
    chunks, offset = b"", _HEADER_BYTES
    while offset + 12 <= len(head):
        end = offset + 12 + int(struct.unpack_from(">I", head, offset)[0])
        if head[offset + 4 : offset + 8] != b"pHYs":
            chunks += head[offset:end]
        offset = end
    return head[:_HEADER_BYTES] + _build_chunks(metadata) + chunks


def _build_chunks(metadata: Mapping[str, Any]) -> bytes:
    """Return the chunks that follow a PNG's header."""
    chunks = []
    if position := metadata.get("position"):
        chunks.append(build_chunk(b"oFFs", struct.pack(">iiB", *position, 0)))
    density = convert_resolution(metadata, "m") or find_aspect(metadata, LARGEST)
    if density:
        numbers = (min(max(round(number), 1), LARGEST) for number in density)
        chunks.append(build_chunk(b"pHYs", struct.pack(">2IB", *numbers, "xres" in metadata)))
    if block := metadata.get("exif-data"):
        chunks.append(build_chunk(b"eXIf", block))
    if packet := metadata.get("xmp-data"):
        chunks.append(build_chunk(b"iTXt", _XMP + bytes(5) + packet))
    if records := metadata.get("iptc-data"):
        digits = re.sub("(.{72})", r"\1\n", resources.build_iptc(records).hex())
        profile = f"\niptc\n{len(digits.replace(chr(10), '')) // 2:8d}\n{digits}\n"
        chunks.append(build_chunk(b"zTXt", _RAW + b"iptc\0\0" + zlib.compress(profile.encode())))
    return b"".join([*chunks, *metadata.get("png-texts", ())])


def build_text(keyword: str, text: str) -> bytes:
    """Return a text as a chunk."""
    body = keyword.encode() + (b"\0" if text.isascii() else bytes(5)) + text.encode()
    return build_chunk(b"tEXt" if text.isascii() else b"iTXt", body)


def read_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return a PNG's texts by keyword."""
    texts: dict[str, str] = {}
    for chunk in metadata.get("png-texts", ()):
        kind, body = chunk[4:8], chunk[8:-4]
        content = _unpack_text(kind, body)
        text = decode_text(content) if kind == b"iTXt" else content.decode("latin-1")
        keyword, text = body.split(b"\0", 1)[0].decode("latin-1"), text.replace("\0", "")
        texts[keyword] = text if texts.get(keyword, text) == text else f"{texts[keyword]}\n{text}"
    return texts


def _read_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of every chunk of EXIF, text or resolution, before or after the pixels."""
    file.seek(_SIGNATURE_BYTES)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (*_TEXTS, b"eXIf", b"pHYs"):
            body = file.read(length)
            if len(body) == length:
                yield kind, body
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)


def build_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _unpack_text(kind: bytes, body: bytes) -> bytes:
    """Return the text of a chunk; empty if it is damaged."""
    rest = body.partition(b"\0")[2]
    is_packed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        is_packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if not is_packed:
        return rest
    try:
        return zlib.decompressobj().decompress(rest, _MAX_BYTES)
    except zlib.error:
        return b""


def _add_raw_profile(found: dict[str, Any], name: bytes, text: bytes) -> None:
    """Add the metadata of a raw profile, unless another chunk has provided it."""
    try:
        content = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return
    if name in (b"exif", b"APP1") and content.startswith(b"Exif"):
        found.setdefault("exif-data", content)
    elif name == b"xmp" or (name == b"APP1" and b"\0" in content):
        found.setdefault("xmp-data", content.removeprefix(b"http://ns.adobe.com/xap/1.0/\0"))
    elif name in (b"iptc", b"8bim"):
        blocks = content.removeprefix(b"Photoshop 3.0\0")
        records = blocks if blocks.startswith(b"\x1c") else resources.find_iptc(blocks)
        found.setdefault("iptc-data", records)
