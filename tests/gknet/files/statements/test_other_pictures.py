"""Gain maps, videos, and other pictures in photos: notes name those that are left out."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from gknet.errors import UnsupportedError
from gknet.files import formats
from gknet.files.picture import GAIN_MAP, ONLY_THE_FIRST, VIDEO
from gknet.files.statements import heif, jpeg
from tests.gknet.photographs import photograph

RGB = photograph(height=16, width=24)
THUMBNAIL, PANORAMA, UNDEFINED = 0x010001, 0x020001, 0
GAIN_MAPS = [b'<a xmlns:hdr="http://ns.apple.com/HDRGainMap/1.0/"/>', b"urn:iso:std:iso:ts:21496:-1\0\0"]
DEPTH = b'<a xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/"/>'
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def segment(body: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def multi_picture(kind: int = UNDEFINED, body: bytes = b"") -> io.BytesIO:
    """Return a file of two pictures.   kind: the second's by the index.   body: of a segment in the second."""
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "MPO", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    content = file.getvalue()
    index = content.index(b"MPF\0") + 4
    entry = index + 50 + 16
    (offset,) = struct.unpack_from("<I", content, entry + 8)
    second = index + offset
    assert content[second : second + 2] == b"\xff\xd8"
    content = content[:entry] + struct.pack("<I", kind) + content[entry + 4 :]
    return io.BytesIO(content[: second + 2] + (segment(body) if body else b"") + content[second + 2 :])


@pytest.mark.parametrize(
    ("kind", "body", "notes"),
    [
        (UNDEFINED, b"", [ONLY_THE_FIRST]),
        (PANORAMA, b"", [ONLY_THE_FIRST]),
        (THUMBNAIL, b"", []),
        (UNDEFINED, DEPTH, []),
        *((UNDEFINED, body, [GAIN_MAP]) for body in GAIN_MAPS),
    ],
)
def test_other_pictures_of_a_jpeg_get_a_note(tmp_path: Path, kind: int, body: bytes, notes: list[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(multi_picture(kind, body).getvalue())
    assert formats.read_picture(tmp_path / "a.jpg").notes == notes


def test_a_damaged_index_states_no_pictures() -> None:
    whole = multi_picture().getvalue()
    for end in range(whole.index(b"MPF\0"), whole.index(b"\xff\xdb"), 3):
        assert jpeg.find_notes(io.BytesIO(whole[:end])) == []
    pictures = whole.index(b"MPF\0") + 4 + 50
    assert jpeg.find_notes(io.BytesIO(whole[:pictures] + b"\x77" * 32 + whole[pictures + 32 :])) == []


@pytest.mark.parametrize(
    ("packet", "notes"),
    [
        (b'<a GCamera:MotionPhoto="1"/>', [VIDEO]),
        (b"<GCamera:MicroVideo>1</GCamera:MicroVideo>", [VIDEO]),
        (b'<a GCamera:MotionPhoto="0" GCamera:MotionPhotoVersion="1"/>', []),
    ],
)
def test_the_video_of_a_motion_photo_gets_a_note(tmp_path: Path, packet: bytes, notes: list[str]) -> None:
    for suffix in (".jpg", ".avif"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(RGB).save(path, xmp=packet)
        assert formats.read_picture(path).notes == notes


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("entry_version", [2, 3])
def test_a_tone_mapped_picture_has_a_gain_map(version: int, entry_version: int) -> None:
    for kind, notes in ((b"av01", []), (b"tmap", [GAIN_MAP])):
        number = b"\0\1" if entry_version == 2 else b"\0\0\0\1"
        item = box(b"infe", bytes([entry_version, 0, 0, 0]) + number + b"\0\0" + kind + b"name\0")
        items = box(b"iinf", bytes([version, 0, 0, 0]) + (b"\0\0\0\1" if version else b"\0\1") + item)
        assert heif.find_notes(io.BytesIO(box(b"ftyp", b"avif") + box(b"meta", bytes(4) + items)), b"") == notes


def test_apple_s_gain_map_and_a_video_in_boxes_get_notes() -> None:
    auxiliary = box(b"iprp", box(b"ipco", box(b"auxC", bytes(4) + b"urn:com:apple:photo:2020:aux:hdrgainmap\0")))
    file = io.BytesIO(box(b"ftyp", b"heic") + box(b"meta", bytes(4) + auxiliary) + box(b"mpvd", bytes(8)))
    assert heif.find_notes(file, b"") == [GAIN_MAP, VIDEO]


def test_sizes_of_damaged_boxes_are_limited_to_the_file() -> None:
    video = box(b"mpvd", b"film")
    for content in (b"", b"\0\0\0\1meta", b"\0\0\0\1meta" + b"\xff" * 8, b"\0\0\0\4meta" + video, bytes(4) + b"meta"):
        assert heif.find_notes(io.BytesIO(content), b"") == []
        assert heif.find_notes(io.BytesIO(video + content), b"") == [VIDEO]
    large = b"\0\0\0\1free" + struct.pack(">Q", 20) + b"four"
    assert heif.find_notes(io.BytesIO(large + video), b"") == [VIDEO]


@pytest.mark.parametrize("brand", [b"avis", b"hevc"])
def test_a_video_without_a_still_picture_is_named_as_such(tmp_path: Path, brand: bytes) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(box(b"ftyp", brand + bytes(4) + brand + b"avif" * (brand == b"avis")) + box(b"meta", bytes(4)))
    with pytest.raises(UnsupportedError, match="is a video or animation without a still picture") as caught:
        formats.read_picture(path)
    assert "frames" in str(caught.value.hint)
