"""Metadata in the chunks of a PNG (PNG, third edition). Texts are kept byte for byte, whatever their encoding."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from gknet.files.metadata import exif, resources, xmp
from gknet.files.metadata.texts import decode_text

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_RAW = b"Raw profile type "  # ImageMagick's and exiftool's, in hexadecimal digits
_MAX_BYTES = 64 << 20  # of one text, unpacked
HEADER_BYTES = 33
"""Bytes of a PNG's signature and first chunk."""


def read_metadata(file: IO[bytes]) -> dict[str, Any]:
    """Return EXIF, XMP, IPTC, and texts as whole chunks."""
    found: dict[str, Any] = {"png-texts": []}
    for kind, body in _read_chunks(file):
        keyword = body.split(b"\0", 1)[0]
        if kind == b"eXIf":
            found["exif-data"] = exif.clean_exif(body)
        elif keyword == _XMP:
            found.setdefault("xmp-data", xmp.clean_xmp(_unpack_text(kind, body)))
        elif keyword.startswith(_RAW):
            _add_raw_profile(found, keyword.removeprefix(_RAW), _unpack_text(kind, body))
        else:
            found["png-texts"].append(build_chunk(kind, body))
    return {name: value for name, value in found.items() if value}


def build_chunks(metadata: Mapping[str, Any]) -> bytes:
    """Return the chunks that follow a PNG's header."""
    chunks = []
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
    texts = {}
    for chunk in metadata.get("png-texts", ()):
        kind, body = chunk[4:8], chunk[8:-4]
        content = _unpack_text(kind, body)
        text = decode_text(content) if kind == b"iTXt" else content.decode("latin-1")
        texts[body.split(b"\0", 1)[0].decode("latin-1")] = text.replace("\0", "")
    return texts


def _read_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of every EXIF or text chunk, before or after the pixels."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in _TEXTS or kind == b"eXIf":
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
        found.setdefault("exif-data", exif.clean_exif(content))
    elif name == b"xmp" or (name == b"APP1" and b"\0" in content):
        found.setdefault("xmp-data", xmp.clean_xmp(content.removeprefix(b"http://ns.adobe.com/xap/1.0/\0")))
    elif name in (b"iptc", b"8bim"):
        blocks = content.removeprefix(b"Photoshop 3.0\0")
        records = blocks if blocks.startswith(b"\x1c") else resources.find_iptc(blocks)
        found.setdefault("iptc-data", records)
