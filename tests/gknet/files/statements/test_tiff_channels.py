"""A TIFF's channels are what its tags say: gray, RGB and transparency are kept, everything else is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gknet.errors import UnsupportedError
from gknet.files import formats
from tests.gknet import statements
from tests.gknet.files.test_picture import resaved
from tests.gknet.photographs import photograph

DEPTHS = (np.uint8, np.uint16, np.float32)
UNSPECIFIED, ASSOCIATED, STRAIGHT = 0, 1, 2


def planes(channels: int, depth: type) -> np.ndarray:
    """(40, 60, channels): a photograph's and a ramp's, without zeros."""
    rgb = photograph(height=40, width=60).clip(20, 250)
    ramp = np.tile(np.linspace(100, 255, 60).astype(np.uint8), (40, 1))
    pixels = np.dstack([rgb[..., 1], ramp, 255 - ramp // 2, ramp, ramp])[..., :channels]
    if channels >= 3:
        pixels[..., :3] = rgb
    if depth == np.float32:
        return (pixels / 255).astype(np.float32)
    return pixels.astype(depth) * (np.iinfo(depth).max // 255)


def assert_refused(path: Path, word: str) -> None:
    for read in (formats.read_picture, formats.read_mask):
        with pytest.raises(UnsupportedError, match=word) as caught:
            read(path)
        assert str(path) in caught.value.message
        assert caught.value.hint
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("photometric", "channels"), [(1, 2), (2, 4)])
@pytest.mark.parametrize("extra", [(STRAIGHT,), None])
def test_straight_alpha_comes_back_to_the_bit(tmp_path, depth, photometric, channels, extra):
    pixels = planes(channels, depth)
    path = statements.tiff(tmp_path / "a.tif", pixels, photometric, extra)
    np.testing.assert_array_equal(formats.read_picture(path).pixels, pixels)
    with tifffile.TiffFile(resaved(path)) as opened:
        np.testing.assert_array_equal(opened.asarray(), pixels)
        assert opened.pages[0].photometric == photometric
        assert opened.pages[0].extrasamples == (STRAIGHT,)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("photometric", "channels"), [(1, 2), (2, 4)])
def test_associated_alpha_becomes_straight_or_is_refused(tmp_path, depth, photometric, channels):
    pixels = planes(channels, depth)
    full = 1 if depth == np.float32 else np.iinfo(depth).max
    alpha = pixels[..., -1:] / full
    premultiplied = np.dstack([(pixels[..., :-1] * alpha).astype(depth), pixels[..., -1]])
    path = statements.tiff(tmp_path / "a.tif", premultiplied, photometric, (ASSOCIATED,))
    if (channels, depth) == (2, np.float32):  # libvips would multiply by 255
        assert_refused(path, "premultiplied")
        return
    found = formats.read_picture(path).pixels
    np.testing.assert_allclose(found / full, pixels / full, atol=4 / 255 if depth == np.uint8 else 1e-4)
    with tifffile.TiffFile(resaved(path)) as opened:
        assert opened.pages[0].extrasamples == (STRAIGHT,)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("photometric", "extra", "word"),
    [
        (1, (UNSPECIFIED,), "not marked"),
        (2, (UNSPECIFIED,), "not marked"),
        (1, (UNSPECIFIED, UNSPECIFIED), "2 channels"),
        (1, (STRAIGHT, UNSPECIFIED), "2 channels"),
        (1, (UNSPECIFIED, STRAIGHT), "2 channels"),
        (1, None, "2 channels"),
        (1, (UNSPECIFIED,) * 3, "3 channels"),
        (2, (STRAIGHT, UNSPECIFIED), "2 channels"),
    ],
)
def test_saved_channels_are_refused(tmp_path, depth, photometric, extra, word):
    colors = 3 if photometric == 2 else 1
    pixels = planes(colors + (2 if extra is None else len(extra)), depth)
    assert_refused(statements.tiff(tmp_path / "a.tif", pixels, photometric, extra), word)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("depth", DEPTHS)
def test_inverted_gray_becomes_gray_or_is_refused(tmp_path, depth, channels):
    pixels = planes(channels, depth)
    path = statements.tiff(tmp_path / "a.tif", pixels, 0, (STRAIGHT,) if channels == 2 else ())
    if depth == np.float32:  # nothing says what a float is inverted about
        assert_refused(path, "inverted gray")
        return
    expected = pixels.copy()
    expected[..., 0] = np.iinfo(depth).max - pixels[..., 0]
    np.testing.assert_array_equal(formats.read_picture(path).pixels, expected)
    with tifffile.TiffFile(resaved(path)) as opened:
        assert opened.pages[0].photometric == 1
        np.testing.assert_array_equal(opened.asarray(), expected.squeeze())


def test_single_bits_are_gray_whichever_is_white(tmp_path):
    bits = planes(1, np.uint8)[..., 0] > 120
    for name, white in (("miniswhite", 0), ("minisblack", 255)):
        tifffile.imwrite(tmp_path / "a.tif", bits, photometric=name)
        expected = np.where(bits, white, 255 - white)
        np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.tif").pixels[..., 0], expected)


@pytest.mark.parametrize(
    ("photometric", "channels", "word"),
    [
        (4, 1, "mask"),
        (5, 4, "CMYK"),
        (6, 3, "YCbCr"),
        (8, 3, "Lab"),
        (9, 3, "Lab"),
        (10, 3, "Lab"),
        (32803, 1, "raw sensor"),
        (32844, 1, "LogL"),
        (32845, 3, "LogLuv"),
        (34892, 3, "raw sensor"),
        (51177, 1, "depth"),
        (4711, 3, "unknown"),
    ],
)
@pytest.mark.parametrize("depth", DEPTHS)
def test_values_that_are_neither_gray_nor_rgb_are_refused(tmp_path, photometric, channels, word, depth):
    assert_refused(statements.tiff(tmp_path / "a.tif", planes(channels, depth), photometric), word)


def test_ycbcr_in_jpeg_and_palettes_become_rgb(tmp_path):
    image = Image.fromarray(planes(3, np.uint8))
    image.save(tmp_path / "a.tif", compression="jpeg", quality=98)
    found = formats.read_picture(tmp_path / "a.tif").pixels.astype(int)
    assert np.abs(found - np.asarray(image)).mean() < 4
    palette = image.quantize(40)
    palette.save(tmp_path / "b.tif")
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "b.tif").pixels, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("options", [{"planarconfig": "separate"}, {"tile": (16, 16)}, {"bigtiff": True}])
def test_the_layout_of_the_same_channels_makes_no_difference(tmp_path, options):
    pixels = planes(4, np.uint16)
    stored = np.moveaxis(pixels, 2, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"], **options)
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.tif").pixels, pixels)
    tifffile.imwrite(tmp_path / "b.tif", stored, photometric="rgb", extrasamples=["unspecified"], **options)
    assert_refused(tmp_path / "b.tif", "not marked")


@pytest.mark.parametrize(
    ("depth", "word"), [(np.float64, "64-bit float"), (np.uint32, "32-bit integer"), (np.uint64, "64-bit integer")]
)
def test_depths_without_an_equal_are_refused(tmp_path, depth, word):
    tifffile.imwrite(tmp_path / "a.tif", planes(3, np.uint8).astype(depth), photometric="rgb")
    assert_refused(tmp_path / "a.tif", word)


def test_twelve_bits_are_refused_rather_than_called_damaged(tmp_path):
    rows = np.zeros((4, 8 * 3 * 12 // 8), np.uint8)
    path = statements.tiff(tmp_path / "a.tif", rows[..., None], 2, t256=(8,), t258=(12,) * 3, t277=(3,), t339=(1,) * 3)
    assert_refused(path, "12-bit integer")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_big_tiffs_and_both_orders_of_bytes_are_read_alike(tmp_path, big, order):
    pixels, path = planes(4, np.uint16), tmp_path / "a.tif"
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "bigtiff": big, "byteorder": order}
    tifffile.imwrite(path, pixels, extratags=[(301, 3, 256, tuple(range(0, 65536, 257)), True)], **options)
    read = formats.read_picture(path)
    np.testing.assert_array_equal(read.pixels, pixels)
    assert read.profile is not None  # of the transfer function
    tifffile.imwrite(path, pixels, **{**options, "extrasamples": ["unspecified"]})
    assert_refused(path, "not marked as transparency")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("orientation", [0, 9])
def test_unknown_orientations_are_ignored(tmp_path, big, order, orientation):
    rgb = planes(3, np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb, photometric="rgb", bigtiff=big, byteorder=order, extratags=[(274, 3, 1, orientation)])
    before = path.read_bytes()
    picture = formats.read_picture(path)
    assert picture.orientation == 1
    np.testing.assert_array_equal(picture.pixels, rgb)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("kind", "name"), [(np.int8, "signed 8-bit"), (np.int16, "signed 16-bit")])
def test_types_of_numbers_have_their_usual_names(tmp_path: Path, kind: type, name: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 3), kind), photometric="rgb")
    with pytest.raises(UnsupportedError, match=f"has {name} pixels, which are not supported"):
        formats.read_picture(tmp_path / "a.tif")
