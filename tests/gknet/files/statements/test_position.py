"""Pictures that are part of a page are read, pasted and saved at the position in their file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image

from gknet.errors import PictureError, UnsupportedError
from gknet.files import formats
from gknet.scene import LayerScene
from tests.gknet import statements
from tests.gknet.files.test_picture import resaved
from tests.gknet.photographs import photograph

Run = Callable[..., tuple[int, str, str]]
Window = tuple[int, int, int, int]
HEADER = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}


def exr(path: Path, planes: dict[str, np.ndarray], data: Window, display: Window) -> Path:
    """An EXR by OpenEXR; windows as left, top, right and bottom, the last two included."""
    windows = {
        name: (np.array(window[:2], np.int32), np.array(window[2:], np.int32))
        for name, window in (("dataWindow", data), ("displayWindow", display))
    }
    OpenEXR.File({**HEADER, **windows}, dict(planes)).write(str(path))
    return path


def planes_of(path: Path) -> tuple[dict[str, np.ndarray], list[list[int]]]:
    """The channels, and the corners of the data window."""
    part = OpenEXR.File(str(path), separate_channels=True).parts[0]
    corners = [corner.tolist() for corner in part.header["dataWindow"]]
    return {name: channel.pixels for name, channel in part.channels.items()}, corners


@pytest.fixture
def light() -> np.ndarray:
    """(60, 80, 3) float16."""
    return (photograph(height=60, width=80) / 255).astype(np.float16)


@pytest.mark.parametrize(
    ("display", "shown"),
    [
        ((0, 0, 79, 59), (slice(0, 60), slice(0, 80))),
        ((10, 20, 59, 49), (slice(20, 50), slice(10, 60))),
        ((-5, -7, 99, 69), (slice(0, 60), slice(0, 80))),
        ((-30, 30, 39, 89), (slice(30, 60), slice(0, 40))),
    ],
)
def test_an_exr_is_its_display_window_and_keeps_its_data_window(tmp_path, light, display, shown):
    planes = {name: light[..., i].copy() for i, name in enumerate("RGB")}
    path = exr(tmp_path / "a.exr", {**planes, "Z": light[..., 0].copy()}, (0, 0, 79, 59), display)
    read = formats.read_picture(path)
    assert read.pixels.shape == (display[3] - display[1] + 1, display[2] - display[0] + 1, 3)
    top, left = shown[0].start - display[1], shown[1].start - display[0]
    height, width = light[shown].shape[:2]
    expected = np.zeros(read.pixels.shape, np.float32)
    expected[top : top + height, left : left + width] = light[shown]
    np.testing.assert_array_equal(read.pixels, expected)
    found, corners = planes_of(resaved(path))
    assert corners == [[0, 0], [79, 59]]
    for name, plane in planes.items():
        np.testing.assert_array_equal(found[name], plane)
    formats.write_picture(tmp_path / "b.exr", read.pixels * 2, read)
    found, _ = planes_of(tmp_path / "b.exr")
    changed = light[..., 1].copy()
    changed[shown] *= 2
    np.testing.assert_array_equal(found["G"], changed)


def test_what_is_drawn_beside_the_data_window_enlarges_it(tmp_path, light):
    planes = {name: light[..., i].copy() for i, name in enumerate("RGB")} | {"Z": light[..., 0].copy()}
    read = formats.read_picture(exr(tmp_path / "a.exr", planes, (-10, 5, 69, 64), (0, 0, 99, 79)))
    pixels = read.pixels.copy()
    pixels[70:75, 80:90] = 0.5
    formats.write_picture(tmp_path / "b.exr", pixels, read)
    found, corners = planes_of(tmp_path / "b.exr")
    assert corners == [[-10, 0], [99, 79]]
    expected = np.zeros((80, 110), np.float16)
    expected[5:65, :80] = light[..., 0]
    np.testing.assert_array_equal(found["Z"], expected)
    expected[70:75, 90:100] = 0.5
    np.testing.assert_array_equal(found["R"], expected)
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "b.exr").pixels, pixels)


def test_a_cropped_exr_is_the_same_cut_out_as_the_whole(tmp_path, light):
    alpha = np.zeros((60, 80), np.float16)
    alpha[15:40, 30:55] = np.linspace(0.2, 1, 25)
    planes = {name: light[..., i] * alpha for i, name in enumerate("RGB")} | {"A": alpha}
    whole = exr(tmp_path / "a.exr", planes, (0, 0, 79, 59), (0, 0, 79, 59))
    part = {name: plane[15:40, 30:55].copy() for name, plane in planes.items()}
    cropped = exr(tmp_path / "b.exr", part, (30, 15, 54, 39), (0, 0, 79, 59))
    moved = exr(tmp_path / "c.exr", part, (130, 15, 154, 39), (100, 0, 179, 59))
    expected = formats.read_picture(whole)
    for path in (cropped, moved):
        read = formats.read_picture(path)
        np.testing.assert_array_equal(read.pixels, expected.pixels)
        np.testing.assert_array_equal(formats.read_mask(path), formats.read_mask(whole))
        found, _ = planes_of(resaved(path))
        np.testing.assert_array_equal(found["R"], part["R"])


def test_windows_without_a_pixel_in_common_and_huge_ones_are_refused(tmp_path, light):
    planes = {"Y": light[..., 0].copy()}
    with pytest.raises(UnsupportedError, match="no pixels in its display window"):
        formats.read_picture(exr(tmp_path / "a.exr", planes, (100, 0, 179, 59), (0, 0, 79, 59)))
    with pytest.raises(PictureError, match="too large"):
        formats.read_picture(exr(tmp_path / "b.exr", planes, (0, 0, 79, 59), (0, 0, 99_999, 99_999)))


def cropped_png(path: Path, pixels: np.ndarray, left: int, top: int) -> Path:
    return statements.png(path, pixels, (b"oFFs", struct.pack(">iiB", left, top, 0)))


def cropped_tiff(path: Path, pixels: np.ndarray, left: int, top: int) -> Path:
    tags = [(286, 5, 1, (left, 150), True), (287, 5, 1, (top, 150), True)]
    options = {"resolution": (150, 150), "resolutionunit": 2, "extratags": tags}
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"], **options)
    return path


@pytest.mark.parametrize("write", [cropped_png, cropped_tiff])
def test_a_cropped_cut_out_is_pasted_where_its_file_says_unless_told_otherwise(tmp_path, write):
    background = photograph(height=60, width=80)
    Image.fromarray(background).save(tmp_path / "b.png")
    cutout = np.full((10, 12, 4), 255, np.uint8)
    path = write(tmp_path / ("a.png" if write is cropped_png else "a.tif"), cutout, 30, 15)

    def place(at: tuple[int, int] | None, scale: float = 1) -> list[list[int]]:
        before = LayerScene(path, tmp_path / "b.png", at, scale, lambda *_: None).before
        where = np.argwhere((before == 255).all(axis=2) & (background != 255).any(axis=2))
        return [where.min(axis=0).tolist(), where.max(axis=0).tolist()]

    assert place(None) == [[15, 30], [24, 41]]
    assert place((0, 0)) == [[0, 0], [9, 11]]
    assert place(None, 0.5) == [[8, 15], [12, 20]]


@pytest.mark.parametrize("write", [cropped_png, cropped_tiff])
def test_the_position_is_kept_in_the_same_format(tmp_path, write):
    pixels = np.dstack([photograph(height=20, width=30)] * 2)[..., :4]
    path = write(tmp_path / ("a.png" if write is cropped_png else "a.tif"), pixels, 30, 15)
    assert formats.read_picture(path).position == (30, 15)
    again = formats.read_picture(resaved(path))
    assert again.position == (30, 15)
    np.testing.assert_array_equal(again.pixels, pixels)
    if write is cropped_tiff:
        with tifffile.TiffFile(resaved(path)) as opened:
            above, below = opened.pages[0].tags["XPosition"].value
        assert above / below == pytest.approx(30 / 150)


@pytest.mark.parametrize("body", [b"\0\1", b"", bytes(8) + b"\2"])
def test_a_damaged_position_is_none(tmp_path, body):
    pixels = photograph(height=20, width=30)
    assert formats.read_picture(statements.png(tmp_path / "a.png", pixels, (b"oFFs", body))).position == (0, 0)


def test_a_position_in_micrometers_needs_a_resolution(tmp_path):
    pixels = photograph(height=20, width=30)
    position, density = (b"oFFs", struct.pack(">iiB", 3000, 1500, 1)), (b"pHYs", struct.pack(">IIB", 10_000, 2000, 1))
    read = formats.read_picture(statements.png(tmp_path / "a.png", pixels, position, density))
    assert (read.position, list(read.notes)) == ((30, 3), [])
    assert formats.read_picture(resaved(tmp_path / "a.png", ".tif")).position == (30, 3)
    read = formats.read_picture(statements.png(tmp_path / "b.png", pixels, position))
    assert read.position == (0, 0)
    assert "states no resolution" in read.notes[0]


@pytest.mark.parametrize("write", [cropped_png, cropped_tiff])
def test_the_position_reaches_formats_that_have_one_and_others_get_a_note(tmp_path, write):
    pixels = np.dstack([photograph(height=20, width=30)] * 2)[..., :4]
    path = write(tmp_path / ("a.png" if write is cropped_png else "a.tif"), pixels, 30, 0)
    read = formats.read_picture(path)
    for suffix in (".png", ".tif"):
        assert formats.read_picture(resaved(path, suffix)).position == (30, 0)
        assert formats.find_write_notes(Path(f"a{suffix}"), read) == []
    for suffix in (".jpg", ".webp", ".exr"):
        assert "the position on a page" in formats.find_write_notes(Path(f"a{suffix}"), read)[0]
    read = formats.read_picture(cropped_png(tmp_path / "b.png", pixels, -30, 15))
    assert formats.find_write_notes(Path("a.tif"), read) == ["TIFF cannot store the position (-30, 15) on a page"]
    assert formats.read_picture(resaved(tmp_path / "b.png", ".tif")).position == (0, 0)
    read = formats.read_picture(cropped_tiff(tmp_path / "a.tif", pixels, 2**32 - 1, 15))
    assert formats.find_write_notes(Path("a.png"), read) == ["PNG cannot store the position (4294967295, 15) on a page"]
    assert formats.read_picture(resaved(tmp_path / "a.tif", ".png")).position == (0, 0)


def test_the_canvas_of_imagemagick_gives_a_position(tmp_path):
    pixels = photograph(height=20, width=30)
    canvas = (b"caNv", struct.pack(">IIii", 200, 100, 9, -7))
    assert formats.read_picture(statements.png(tmp_path / "a.png", pixels, canvas)).position == (9, -7)
    body = (b"oFFs", struct.pack(">iiB", 3, 4, 0))
    assert formats.read_picture(statements.png(tmp_path / "b.png", pixels, canvas, body)).position == (3, 4)


@pytest.mark.integration
def test_the_command_and_a_batch_paste_at_the_position(run: Run, tmp_path: Path) -> None:
    background = photograph(height=120, width=160)
    Image.fromarray(background).save("b.png")
    cutout = np.dstack([photograph("astronaut", 50, 40), np.full((50, 40), 255, np.uint8)])
    cropped_png(tmp_path / "a.png", cutout, 60, 30)
    assert run("harmonize", "--foreground", "a.png", "--background", "b.png", "-o", "c.png")[0] == 0
    Path("jobs.csv").write_text("foreground,background,x,y,output\na.png,b.png,,,d.png\na.png,b.png,0,,e.png\n")
    assert run("batch", "jobs.csv", "out")[0] == 0
    for name, corner in (("c.png", [30, 60]), ("out/d.png", [30, 60]), ("out/e.png", [0, 0])):
        where = np.argwhere((formats.read_picture(tmp_path / name).pixels != background).any(axis=2))
        np.testing.assert_allclose(where.min(axis=0), corner, atol=1, err_msg=name)
