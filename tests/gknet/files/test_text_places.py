"""What another format stores of metadata: texts in their standard places, and notes on what has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gknet.files import formats
from gknet.files.metadata import exif
from gknet.files.metadata.directory import EXIF, USER_COMMENT, Value
from gknet.files.picture import Picture
from tests.gknet.files.test_metadata import BLOCKS, IIM, PLAIN_XMP, encoded, exif_block, rewritten, segment

PIXELS = np.full((8, 12, 3), 90, np.uint8)
TEXTS = {
    "Title": "A cup <here>",
    "Author": "Jürgen",
    "Creation Time": "Sat, 1 Feb 2020 10:00:00 +0100",
    "parameters": "a cup, steps 20",
}


def _info(texts: dict[str, str]) -> PngInfo:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    return info


def with_texts(path: Path, **texts: str) -> Path:
    Image.fromarray(PIXELS).save(path, pnginfo=_info(texts))
    return path


def notes_on_writing(path: Path, suffix: str) -> list[str]:
    return formats.find_write_notes(Path(f"a{suffix}"), formats.read_picture(path))


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp"])
def test_texts_get_their_standard_places_and_others_a_note(tmp_path: Path, suffix: str) -> None:
    path = with_texts(tmp_path / "a.png", **TEXTS)
    assert notes_on_writing(path, suffix) == []
    result = rewritten(path, suffix)
    packet = formats.read_picture(result).metadata["xmp-data"].decode()
    assert '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">A cup &lt;here&gt;</rdf:li></rdf:Alt></dc:title>' in packet
    assert "<xmp:CreateDate>2020-02-01T10:00:00+01:00</xmp:CreateDate>" in packet
    with Image.open(result) as opened:
        tags = opened.getexif()
        assert str(tags[315]).encode("latin-1").decode() == "Jürgen"
        assert tags.get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0a cup, steps 20"
    path = with_texts(tmp_path / "b.png", prompt="{}", workflow="{}", **{"Creation Time": "yesterday", "Title": "A\1"})
    name = {".jpg": "JPEG", ".tif": "TIFF", ".webp": "WebP"}[suffix]
    unplaced = "'prompt', 'workflow', 'Creation Time' and 'Title'"
    assert notes_on_writing(path, suffix) == [f"{name} cannot store the texts {unplaced}"]
    assert notes_on_writing(path, ".png") == []


def test_a_text_replaces_no_other(tmp_path: Path) -> None:
    texts = {"Author": "Anna", "Comment": "first", "parameters": "second"}
    path = with_texts(tmp_path / "a.png", **texts)
    tags = Image.Exif()
    tags[315] = "Maria"
    with Image.open(path) as opened:
        opened.save(tmp_path / "b.png", exif=tags, pnginfo=_info(texts))
    read = formats.read_picture(rewritten(tmp_path / "b.png", ".webp"))
    assert b"Maria\0" in read.metadata["exif-data"]
    assert b"ASCII\0\0\0first" in read.metadata["exif-data"]
    assert b"<dc:creator><rdf:Seq><rdf:li>Anna</rdf:li></rdf:Seq></dc:creator>" in read.metadata["xmp-data"]
    assert b"second" in read.metadata["xmp-data"]
    with Image.open(path) as opened:
        xmp = read.metadata["xmp-data"].decode()
        info = _info({**texts, "Author": "Eva"})
        info.add_itxt("XML:com.adobe.xmp", xmp)
        opened.save(tmp_path / "c.png", exif=tags, pnginfo=info)
    assert notes_on_writing(tmp_path / "c.png", ".webp") == ["WebP cannot store the text 'Author'"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_adding_tags_moves_no_other_value(order: str) -> None:
    block = exif.clean_exif(exif_block(order))
    longer = exif.add_text(block, exif.ARTIST, "Jürgen")
    assert longer is not None
    assert longer[8 : len(block)] == block[8:]
    tags = Image.Exif()
    tags.load(longer)
    assert str(tags[315]).encode("latin-1").decode() == "Jürgen"
    assert tags.get_ifd(0x8769)[0x927C] == b"NOTES\0\1\2" * 5
    assert exif.add_text(longer, exif.ARTIST, "Jürgen") == longer
    assert exif.add_text(longer, exif.ARTIST, "Anna") is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_comment_in_another_encoding_is_the_same(order: str) -> None:
    bare = exif.clean_exif(exif_block(order))
    block = exif.add_tags(bare, {EXIF: {USER_COMMENT: Value(7, b"UNICODE\0" + "a cup".encode("utf-16-le"))}})
    assert exif.add_text(block, USER_COMMENT, "a cup") == block
    assert exif.add_text(block, USER_COMMENT, "a hat") is None


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_exif_that_is_too_long_for_jpeg_loses_its_longest_values_with_a_note(tmp_path: Path, suffix: str) -> None:
    tags, details = Image.Exif(), {0x927C: b"N" * 40_000, 0x9286: b"ASCII\0\0\0" + b"c" * 66_000, 0xA001: 1}
    tags[270], tags[271], tags[306], tags[0x0112] = "d" * 30_000, "Maker", "2020:01:02 03:04:05", 1
    tags.get_ifd(0x8769).update(details)
    block = tags.tobytes().removeprefix(b"Exif\0\0")
    like = Picture(pixels=PIXELS, metadata={"exif-data": block})
    formats.write_picture(tmp_path / f"a{suffix}", PIXELS, like)
    lost = "JPEG limits EXIF to 64 KB, so UserComment and MakerNote are left out"
    assert lost in notes_on_writing(tmp_path / f"a{suffix}", ".jpg")
    with Image.open(rewritten(tmp_path / f"a{suffix}", ".jpg")) as opened:
        kept = opened.getexif()
        assert (kept[270], kept[271], kept[306]) == (tags[270], "Maker", "2020:01:02 03:04:05")
        assert kept.get_ifd(0x8769) == {0xA001: 1}


def test_a_text_that_is_too_long_for_the_exif_of_jpeg_goes_to_xmp(tmp_path: Path) -> None:
    path = with_texts(tmp_path / "a.png", parameters="p" * 70_000, Author="Anna", Comment="c" * 70_000)
    assert notes_on_writing(path, ".jpg") == ["JPEG cannot store the text 'Comment'"]
    read = formats.read_picture(rewritten(path, ".jpg"))
    assert b"p" * 70_000 in read.metadata["xmp-data"]
    assert b"Anna" in read.metadata["exif-data"]


def test_kinds_of_metadata_without_a_place_get_a_note(tmp_path: Path) -> None:
    metadata = {"exif-data": exif_block(), "xmp-data": PLAIN_XMP, "iptc-data": IIM, "photoshop-data": BLOCKS}
    like = Picture(pixels=PIXELS, metadata={**metadata, "xres": 5.0, "yres": 5.0})
    notes = {suffix: formats.find_write_notes(Path(f"a{suffix}"), like) for suffix in (".jpg", ".tif", ".png")}
    assert notes == {".jpg": [], ".tif": [], ".png": ["PNG cannot store Photoshop resources"]}
    assert formats.find_write_notes(Path("a.webp"), like) == ["WebP cannot store IPTC and Photoshop resources"]
    everything = "EXIF, XMP, IPTC, Photoshop resources and the resolution"
    assert formats.find_write_notes(Path("a.exr"), like) == [f"OpenEXR cannot store {everything}"]
    plain = encoded(".jpg")
    (tmp_path / "a.jpg").write_bytes(plain[:20] + segment(0xFE, b"a cup") + plain[20:])
    assert notes_on_writing(tmp_path / "a.jpg", ".exr") == ["OpenEXR cannot store the text 'Comment'"]
