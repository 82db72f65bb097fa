"""Resolutions: written as the file states them, in the way of each format, and none where it states none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image

from gknet.files import formats
from tests.gknet.files.test_metadata import chunk, encoded, rewritten
from tests.gknet.photographs import SUFFIXES

PIXELS = np.full((8, 12, 3), 90, np.uint8)


def write_with_resolution(path: Path, dpi: int | None) -> Path:
    """Write a picture that states a resolution: in EXIF, or in the TIFF's own tags; by another program."""
    exif = Image.Exif()
    if dpi is not None:
        exif[282], exif[283], exif[296] = float(dpi), float(dpi), 2
    options = {} if dpi is None else {"exif": exif}
    if path.suffix == ".heic":
        block = {} if dpi is None else {"exif": exif.tobytes()}
        pillow_heif.from_pillow(Image.fromarray(PIXELS).resize((64, 64))).save(path, **block)
    else:
        Image.fromarray(PIXELS).save(path, **options)
    return path


def stated_dpi(path: Path) -> tuple[float, float] | None:
    """What another program reads: in JFIF, pHYs and TIFF's tags, or, for WebP, in EXIF."""
    with Image.open(path) as opened:
        if path.suffix == ".tif" and 282 not in opened.tag_v2:
            return None  # Pillow would invent one
        exif = opened.getexif()
        if path.suffix == ".webp":
            return (float(exif[282]), float(exif[283])) if exif.get(296) == 2 else None
        return opened.info.get("dpi")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".avif", ".heic"])
@pytest.mark.parametrize("out", SUFFIXES)
def test_every_format_gets_the_resolution_that_the_file_states_or_none(tmp_path: Path, suffix: str, out: str) -> None:
    assert stated_dpi(rewritten(write_with_resolution(tmp_path / f"a{suffix}", None), out)) is None
    path = write_with_resolution(tmp_path / f"a{suffix}", 300)
    assert stated_dpi(rewritten(path, out)) == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("out", SUFFIXES)
def test_a_resolution_outside_exif_counts_before_that_in_exif(tmp_path: Path, out: str) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296], exif[271] = 72.0, 72.0, 2, "Maker"
    for suffix in (".jpg", ".png"):
        Image.fromarray(PIXELS).save(tmp_path / f"a{suffix}", dpi=(200, 100), exif=exif)
        result = rewritten(tmp_path / f"a{suffix}", out)
        assert stated_dpi(result) == pytest.approx((200, 100), abs=0.01)
        with Image.open(result) as opened:
            assert opened.getexif()[271] == "Maker"


def test_pixels_that_are_not_square_stay_so_without_a_resolution(tmp_path: Path) -> None:
    plain = encoded(".png")
    (tmp_path / "a.png").write_bytes(plain[:33] + chunk(b"pHYs", struct.pack(">2IB", 2, 1, 0)) + plain[33:])
    with Image.open(rewritten(tmp_path / "a.png", ".png")) as opened:
        assert opened.info["aspect"] == (2, 1)
    with Image.open(rewritten(tmp_path / "a.png", ".jpg")) as opened:
        assert (opened.info["jfif_unit"], opened.info["jfif_density"]) == (0, (2, 1))
    with tifffile.TiffFile(rewritten(tmp_path / "a.png", ".tif")) as file:
        tags = file.pages[0].tags
        assert (tags[282].value, tags[283].value, tags[296].value) == ((2, 1), (1, 1), 1)
    read = formats.read_picture(tmp_path / "a.png")
    assert formats.find_write_notes(Path("a.webp"), read) == ["WebP cannot store the shape of the pixels"]


def test_a_resolution_in_exif_counts_before_the_shape_of_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 200.0, 100.0, 2
    plain = encoded(".png")
    chunks = chunk(b"pHYs", struct.pack(">2IB", 2, 1, 0)) + chunk(b"eXIf", exif.tobytes()[6:])
    (tmp_path / "a.png").write_bytes(plain[:33] + chunks + plain[33:])
    read = formats.read_picture(tmp_path / "a.png")
    assert "aspect" not in read.metadata
    assert formats.find_write_notes(Path("a.webp"), read) == []


@pytest.mark.parametrize("numbers", [(0, 0), (0xFFFFFFFF, 1), (1, 0)])
def test_extreme_resolutions_harm_nothing(tmp_path: Path, numbers: tuple[int, int]) -> None:
    plain = encoded(".png")
    for unit in (0, 1):
        body = struct.pack(">2IB", *numbers, unit)
        (tmp_path / "a.png").write_bytes(plain[:33] + chunk(b"pHYs", body) + plain[33:])
        for out in SUFFIXES:
            assert rewritten(tmp_path / "a.png", out).stat().st_size


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("out", SUFFIXES)
def test_a_turned_picture_has_its_resolution_turned_too(tmp_path: Path, suffix: str, out: str) -> None:
    path, exif = tmp_path / f"a{suffix}", Image.Exif()
    exif[274], exif[282], exif[283], exif[296] = 6, 300.0, 150.0, 2
    Image.fromarray(PIXELS).save(path, exif=exif)
    result = rewritten(path, out)
    with Image.open(result) as opened:
        is_stored_turned = opened.getexif().get(274, 1) == 6
        if out != ".tif":  # which Pillow turns
            assert opened.size == ((12, 8) if is_stored_turned else (8, 12))
        assert opened.getexif().get(282, 300 if is_stored_turned else 150) == (300 if is_stored_turned else 150)
    assert stated_dpi(result) == pytest.approx((300, 150) if is_stored_turned else (150, 300), abs=0.05)
