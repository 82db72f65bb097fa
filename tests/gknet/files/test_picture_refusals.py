"""Files that are damaged, have false headers, or cannot be written: one clear line, and nothing is left behind."""

from __future__ import annotations

import os
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gknet.color.profile import to_srgb
from gknet.errors import HarmonizeError, PictureError, UnsupportedError
from gknet.files import formats, picture
from tests.gknet import statements
from tests.gknet.photographs import SUFFIXES, WIDE_GAMUT, exif, photograph


def assert_one_clear_line(error: HarmonizeError) -> None:
    assert "\n" not in str(error)
    assert error.hint
    assert not any(word in str(error) for word in ("vips", "VIPS", "unable to call", "None"))


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that must be refused, by what is wrong with them."""
    files = {}

    def add(name: str, content: bytes) -> None:
        files[name] = folder / name
        files[name].write_bytes(content)

    image = Image.fromarray(photograph("astronaut", 512, 512))
    for suffix, options in ((".jpg", {}), (".png", {}), (".tif", {}), (".webp", {}), (".avif", {})):
        image.save(folder / f"whole{suffix}", **options)
        whole = (folder / f"whole{suffix}").read_bytes()
        for share in (0.999, 0.6, 0.05):
            add(f"cut at {share}{suffix}", whole[: int(len(whole) * share)])
    image.save(folder / "whole.jpg", progressive=True)
    add("cut progressive.jpg", (folder / "whole.jpg").read_bytes()[:20_000])
    whole = bytearray((folder / "whole.png").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    add("flipped.png", bytes(whole))
    add("zero.png", b"")
    add("text.jpg", b"This is a note, not a picture.\n")
    add("bare.png", b"\x89PNG\r\n\x1a\n")
    add("noise.jpg", b"\xff\xd8\xff" + os.urandom(4000))
    add("noise.tif", b"II*\0" + os.urandom(4000))
    add("page.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>')
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("CMYK").save(folder / "cmyk.tif")
    files |= {"cmyk.jpg": folder / "cmyk.jpg", "cmyk.tif": folder / "cmyk.tif"}
    image.convert("LAB").save(folder / "lab.tif")
    tifffile.imwrite(folder / "five.tif", np.zeros((8, 8, 5), np.uint8), photometric="rgb", extrasamples=[0, 0])
    tifffile.imwrite(folder / "wide.tif", np.zeros((8, 8, 3), np.uint32), photometric="rgb")
    files |= {name: folder / name for name in ("lab.tif", "five.tif", "wide.tif", "missing.png", ".")}
    return files


@pytest.mark.integration
def test_bad_files_get_one_clear_line_and_nothing_on_stderr(tmp_path, capfd):
    for name, path in bad_files(tmp_path).items():
        for reader in (formats.read_picture, formats.read_mask):
            with pytest.raises((PictureError, UnsupportedError)) as caught:
                pytest.fail(f"{name} was read as {reader(path)}")
            assert_one_clear_line(caught.value)
            assert str(path) in caught.value.message
            if name.startswith("cmyk"):
                assert isinstance(caught.value, UnsupportedError)
                assert "GIMP" in caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".avif"])
def test_a_corrupted_file_is_read_or_refused_but_breaks_nothing(tmp_path, suffix):
    path, random = tmp_path / f"a{suffix}", np.random.default_rng(5)
    Image.fromarray(photograph(height=60, width=80)).save(path, exif=exif(), icc_profile=WIDE_GAMUT)
    whole = path.read_bytes()
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, min(700, len(whole)), 3):  # where the headers are
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            read = formats.read_picture(path)
            formats.write_picture(tmp_path / "out.tif", read.pixels, read)
            to_srgb(np.zeros((1, 1, 3), np.float32), read.profile)
        except (PictureError, UnsupportedError) as error:
            assert_one_clear_line(error)


@pytest.mark.parametrize("compression", [34712, 34925, 50000, 50002, 52546])  # JPEG 2000, LZMA, ZSTD, JPEG XL, twice
def test_a_tiff_in_a_compression_that_the_library_lacks_is_not_called_damaged(tmp_path, compression):
    path = statements.tiff(tmp_path / "a.tif", photograph(height=8, width=8), 2, t259=(compression,))
    with pytest.raises(UnsupportedError, match="compression or layout that is not supported") as caught:
        formats.read_picture(path)
    assert_one_clear_line(caught.value)


def test_a_tiff_of_tiles_of_single_channels_is_not_called_damaged(tmp_path):
    planes = np.moveaxis(photograph(height=40, width=40), 2, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", tile=(16, 16))
    with pytest.raises(UnsupportedError, match="layout"):
        formats.read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(("marker", "bits"), [(0xC1, 12), (0xC3, 8), (0xC5, 8)])  # 12 bits, lossless, hierarchical
def test_a_jpeg_in_a_process_that_the_library_lacks_is_not_called_damaged(tmp_path, marker, bits):
    path = tmp_path / "a.jpg"
    Image.fromarray(photograph(height=8, width=8)).save(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xc0")
    content[start + 1], content[start + 4] = marker, bits
    path.write_bytes(content)
    with pytest.raises(UnsupportedError, match="compression or layout that is not supported") as caught:
        formats.read_picture(path)
    assert_one_clear_line(caught.value)


def test_a_damaged_file_whose_name_is_no_unicode_is_refused_like_any_other(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.avif")
    Image.fromarray(photograph()).save(tmp_path / "a.avif")
    path.write_bytes((tmp_path / "a.avif").read_bytes()[:400])
    with pytest.raises(PictureError, match="damaged"):
        formats.read_picture(path)
    formats.read_picture(tmp_path / "a.avif")


def test_a_header_that_claims_too_much_is_refused_before_memory_is_asked_for(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 40_000, 20_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(PictureError, match="too large") as caught:
        formats.read_picture(tmp_path / "bomb.png")
    assert_one_clear_line(caught.value)


@pytest.mark.parametrize(
    "name", ["a", "a.gif", "a.xyz", "missing/a.png", "folder.png", "file/a.png", "a.jpg", "long.webp"]
)
def test_files_that_cannot_be_written_give_one_line_and_leave_nothing(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    pixels = np.zeros((2, 17_000 if name == "long.webp" else 2, 4), np.uint8)
    with pytest.raises((PictureError, UnsupportedError)) as caught:
        formats.write_picture(tmp_path / name, pixels, picture.Picture(pixels=pixels))
    assert_one_clear_line(caught.value)
    assert name.split("/")[0] in caught.value.message
    assert ".png" in caught.value.hint or "/" in name or name.startswith("folder")
    assert sorted(tmp_path.iterdir()) == before


def test_arrays_that_are_no_pictures_are_refused(tmp_path):
    for pixels in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 3), np.float64),
    ):
        with pytest.raises(UnsupportedError):
            formats.write_picture(tmp_path / "a.png", pixels, picture.Picture(pixels=pixels))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path, suffix, capfd):
    out, rgb = tmp_path / f"a{suffix}", np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    out.write_bytes(b"what was here before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(PictureError) as caught:
            formats.write_picture(out, rgb, picture.Picture(pixels=rgb))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_one_clear_line(caught.value)
    assert out.read_bytes() == b"what was here before"
    assert list(tmp_path.iterdir()) == [out]
    assert capfd.readouterr() == ("", "")
