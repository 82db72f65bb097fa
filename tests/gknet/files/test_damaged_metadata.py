"""Pictures whose EXIF or XMP is damaged: pixels and orientation agree, and a note names what is left out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from gknet.files import formats
from gknet.files.metadata import exif, xmp
from gknet.files.pillow import to_pillow
from tests.gknet.photographs import photograph

TURNED = 6
LEFT_OUT = "the file's damaged EXIF is left out"


def block(*entries: bytes, link: int = 0, count: int = 0) -> bytes:
    """Return a little-endian EXIF block.   count: that its directory states, 0 for the right one."""
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count or len(entries)) + b"".join(entries) + struct.pack("<I", link)


def orientation(value: int = TURNED, *, kind: int = 3, count: int = 1) -> bytes:
    return struct.pack("<HHII", 0x112, kind, count, value)


DETAILS = struct.pack("<HHII", 0x8769, 4, 1, 0xFFFF)
BLOCKS = {
    "a link to nothing": block(orientation(), link=0xFFFF),
    "a second directory that is cut off": block(orientation(), link=26) + b"\x05\0\1\2",
    "too large a count": block(orientation(), count=9),
    "details outside": block(orientation(), DETAILS),
    "two orientations": block(orientation(), orientation(3)),
    "an array": block(orientation(count=2)),
    "a byte": block(orientation(kind=1)),
    "a long number": block(orientation(kind=4)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of damage
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("name", BLOCKS)
def test_pixels_and_orientation_agree(tmp_path: Path, name: str, suffix: str) -> None:
    pixels = photograph(height=16, width=24)
    source = tmp_path / ("a.jpg" if suffix == ".tif" else f"a{suffix}")
    Image.fromarray(pixels).save(source, exif=b"Exif\0\0" + BLOCKS[name])
    read = formats.read_picture(source)
    assert read.pixels.shape[:2] == (24, 16)
    for out in (suffix, ".png"):
        formats.write_picture(tmp_path / f"b{out}", read.pixels, read)
        with Image.open(tmp_path / f"b{out}") as written:
            upright = np.asarray(ImageOps.exif_transpose(written)).astype(int)
        assert np.abs(upright - np.rot90(pixels, -1)).mean() < 8, out
        again = formats.read_picture(tmp_path / f"b{out}")
        assert again.pixels.shape == read.pixels.shape
        notes = formats.find_write_notes(tmp_path / f"b{out}", read)
        assert (LEFT_OUT in notes) == (name == "too large a count")


@pytest.mark.parametrize("name", BLOCKS)
def test_an_image_keeps_its_orientation(name: str) -> None:
    """Pillow's pixels stay as they are stored."""
    like = Image.new("RGB", (4, 4))
    like.info["exif"] = b"Exif\0\0" + BLOCKS[name]
    before, after = (
        exif.find_orientation(content.removeprefix(b"Exif\0\0"))
        for content in (like.info["exif"], to_pillow(np.zeros((4, 4, 3), np.uint8), like, None).info["exif"])
    )
    assert before == after


def test_a_cut_off_nested_directory_keeps_its_other_tags() -> None:
    """TIFF, for example, cannot take the block over as it is."""
    date = struct.pack("<HHI4s", 0x9000, 7, 4, b"0232")
    whole = block(orientation(), struct.pack("<HHII", 0x8769, 4, 1, 38)) + struct.pack("<H", 5) + date
    assert exif.parse_shared_tags(whole) == {0x8769: {0x9000: (7, b"0232")}}
    assert exif.parse_shared_tags(whole + date[:7]) == {0x8769: {0x9000: (7, b"0232")}}
    assert exif.parse_shared_tags(block(orientation(), DETAILS)) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_orientation_in_xmp_follows_the_pixels(encoding: str) -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    ).encode(encoding)
    assert xmp.find_orientation(packet) == TURNED
    assert xmp.find_orientation(xmp.set_orientation(packet, 1)) == 1
    assert xmp.clean_xmp(packet) == packet


def test_an_orientation_in_damaged_xmp_follows_the_pixels() -> None:
    packet = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"'
    assert xmp.set_orientation(packet, 1) == packet.replace(b"6", b"1")
