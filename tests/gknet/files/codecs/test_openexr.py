"""OpenEXR in and out, judged by the library itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from gknet import Encoding, Harmonizer, UnsupportedError
from gknet.color.srgb import srgb_to_linear
from gknet.errors import MissingPackageError, PictureError
from gknet.files import formats, picture

HEADER = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, "comments": "kept"}


@pytest.fixture(scope="module")
def light(photograph: np.ndarray) -> np.ndarray:
    """(256, 256, 3) float32 linear light, with a lamp beyond white and a value below black."""
    import torch

    values = srgb_to_linear(torch.from_numpy(photograph[::2, ::2] / np.float32(255))).numpy()
    values[100:110, 100:110] = 12.5
    values[0, 0] = -0.25
    return values


def stored(path: Path, channels: dict[str, np.ndarray], header: dict[str, object] = HEADER) -> Path:
    OpenEXR.File(dict(header), dict(channels)).write(str(path))
    return path


def channels_of(path: Path) -> dict[str, np.ndarray]:
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}


@pytest.mark.parametrize("depth", [np.float16, np.float32])
@pytest.mark.parametrize("alpha", [False, True])
def test_nothing_changed_is_the_same_file_to_the_bit(tmp_path, light, depth, alpha):
    soft = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    planes = {name: (light[..., i] * (soft if alpha else 1)).astype(depth) for i, name in enumerate("RGB")}
    planes |= {"Z": light[..., 0].copy(), "id": np.arange(65536, dtype=np.uint32).reshape(256, 256)}
    planes["R"][:, 0] = 0.5  # light without cover, where there is alpha
    if alpha:
        planes["A"] = soft.astype(depth)
    source = stored(tmp_path / "a.exr", planes)
    read = formats.read_picture(source)
    assert (read.space, read.pixels.dtype, read.pixels.shape[2]) == ("linear", np.float32, 4 if alpha else 3)
    if alpha:  # straight
        covered = soft > 0.1
        np.testing.assert_allclose(read.pixels[covered][:, 1], light[covered][:, 1], rtol=2e-3, atol=1e-3)
    formats.write_picture(tmp_path / "b.exr", read.pixels, read)
    found = channels_of(tmp_path / "b.exr")
    assert found.keys() == planes.keys()
    for name, plane in planes.items():
        assert found[name].dtype == plane.dtype
        np.testing.assert_array_equal(found[name], plane, err_msg=name)
    assert OpenEXR.File(str(tmp_path / "b.exr")).header()["comments"] == "kept"


def test_what_changed_is_premultiplied_again(tmp_path, light):
    half = np.full((256, 256), 0.5, np.float32)
    source = stored(tmp_path / "a.exr", {"RGB": light * np.float32(0.5), "A": half})
    read = formats.read_picture(source)
    pixels = read.pixels.copy()
    pixels[:100, :, :3] *= 2
    formats.write_picture(tmp_path / "b.exr", pixels, read)
    found = channels_of(tmp_path / "b.exr")
    np.testing.assert_allclose(found["G"][:100], light[:100, :, 1], rtol=1e-6)
    np.testing.assert_array_equal(found["G"][100:], light[100:, :, 1] * np.float32(0.5))


def test_gray_other_parts_and_the_place_on_the_canvas_are_kept(tmp_path, light):
    window = (np.array([5, 6], np.int32), np.array([260, 261], np.int32))
    canvas = (np.array([0, 0], np.int32), np.array([399, 299], np.int32))
    header = {**HEADER, "dataWindow": window, "displayWindow": canvas}
    parts = [
        OpenEXR.Part({**header, "name": "depth"}, {"Z": light[..., 0].copy()}),
        OpenEXR.Part({**header, "name": "beauty"}, {"Y": light[..., 1].copy()}),
    ]
    OpenEXR.File(parts).write(str(tmp_path / "a.exr"))
    read = formats.read_picture(tmp_path / "a.exr")
    assert read.pixels.shape == (300, 400, 1)
    pixels = read.pixels.copy()
    pixels[6:262, 5:261] += 1
    formats.write_picture(tmp_path / "b.exr", pixels, read)
    file = OpenEXR.File(str(tmp_path / "b.exr"), separate_channels=True)
    assert [part.name() for part in file.parts] == ["depth", "beauty"]
    np.testing.assert_array_equal(file.parts[0].channels["Z"].pixels, light[..., 0])
    np.testing.assert_array_equal(file.parts[1].channels["Y"].pixels, light[..., 1] + 1)
    assert file.parts[1].header["dataWindow"][0].tolist() == [5, 6]


@pytest.mark.parametrize("kind", ["DWAA", "DWAB", "B44", "B44A", "PXR24", "PIZ", "ZIPS"])
def test_nothing_is_compressed_with_loss_again(tmp_path, light, kind):
    compression = getattr(OpenEXR, f"{kind}_COMPRESSION")
    preview = OpenEXR.PreviewImage(np.zeros((4, 4, 4), np.uint8))
    header = {**HEADER, "compression": compression, "preview": preview}
    depth = np.float32 if kind == "PXR24" else np.float16
    read = formats.read_picture(stored(tmp_path / "a.exr", {"RGB": light.astype(depth)}, header))
    formats.write_picture(tmp_path / "b.exr", read.pixels, read)
    written = OpenEXR.File(str(tmp_path / "b.exr"))
    assert written.header()["compression"] == (compression if kind in ("PIZ", "ZIPS") else OpenEXR.ZIP_COMPRESSION)
    assert "preview" not in written.header()
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "b.exr").pixels, read.pixels)


def test_encoded_pictures_become_linear_light_and_back(tmp_path, light, photograph):
    pixels = photograph[::2, ::2]
    formats.write_picture(tmp_path / "a.exr", pixels, picture.Picture(pixels=pixels))
    written = formats.read_picture(tmp_path / "a.exr")
    plain = light.copy()
    plain[100:110, 100:110], plain[0, 0] = written.pixels[100:110, 100:110], written.pixels[0, 0]
    np.testing.assert_allclose(written.pixels, plain, atol=1e-6)
    formats.write_picture(tmp_path / "a.png", written.pixels, written)
    np.testing.assert_array_equal(formats.read_picture(tmp_path / "a.png").pixels, np.rint(pixels / 255 * 65535))


def test_values_beyond_white_and_below_black_stay_finite_and_in_order(
    light: np.ndarray, shipped: Harmonizer, object_mask: np.ndarray
) -> None:
    ramp = light.copy()
    ramp[60:120, 80:160] = np.linspace(-0.5, 30, 80, dtype=np.float32)[None, :, None]
    result = shipped(ramp, object_mask[::2, ::2], encoding=Encoding("linear"))
    assert np.isfinite(result).all()
    assert (np.diff(result[60:120, 80:160], axis=1) > 0).all()
    assert result[60:120, 159].min() > 10


@pytest.mark.parametrize(
    ("planes", "header", "word"),
    [
        ({"Z": np.zeros((8, 8), np.float32)}, {}, "no channels R, G and B, only Z"),
        ({"view.R": np.zeros((8, 8), np.float32)}, {}, "only view.R"),
        (
            {"RGB": np.zeros((8, 8, 3), np.float32)},
            {"chromaticities": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)},
            "primaries",
        ),
        ({"RGB": np.zeros((8, 8, 3), np.float32)}, {"acesImageContainerFlag": 1}, "primaries"),
        ({"RGB": np.zeros((8, 8, 3), np.float32)}, {"colorInteropID": "lin_ap1_scene"}, "lin_ap1_scene"),
        ({"RGB": np.zeros((8, 8, 3), np.float32)}, {"oiio:ColorSpace": "sRGB"}, "sRGB"),
        ({"RGB": np.zeros((8, 8, 3), np.uint32)}, {}, "integer"),
        ({name: np.zeros((8, 8), np.float32) for name in ("Y", "RY", "BY")}, {}, "chroma channels"),
    ],
)
def test_what_is_no_picture_of_srgb_primaries_is_refused(tmp_path, planes, header, word):
    with pytest.raises(UnsupportedError, match=word) as caught:
        formats.read_picture(stored(tmp_path / "a.exr", planes, {**HEADER, **header}))
    assert caught.value.hint


@pytest.mark.parametrize(
    "header",
    [
        {"chromaticities": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)},
        {"colorInteropID": "lin_rec709_scene"},
        {"oiio:ColorSpace": "Linear"},
    ],
)
def test_statements_of_srgb_primaries_are_kept(tmp_path, light, header):
    read = formats.read_picture(stored(tmp_path / "a.exr", {"RGB": light}, {**HEADER, **header}))
    formats.write_picture(tmp_path / "b.exr", read.pixels, read)
    (name, value), found = next(iter(header.items())), OpenEXR.File(str(tmp_path / "b.exr")).header()
    assert found[name] == value or np.allclose(found[name], value)


def test_damaged_and_oversized_files_are_refused_quietly(tmp_path, light, capfd):
    source = stored(tmp_path / "a.exr", {"RGB": light})
    whole = source.read_bytes()
    for length in (8, 200, len(whole) // 2, len(whole) - 300):
        (tmp_path / "b.exr").write_bytes(whole[:length])
        with pytest.raises(PictureError, match="damaged"):
            formats.read_picture(tmp_path / "b.exr")
    place = whole.index(b"dataWindow") + len(b"dataWindow\0box2i\0") + 4
    huge = np.array([0, 0, 99_999, 99_999], "<i4").tobytes()
    (tmp_path / "b.exr").write_bytes(whole[:place] + huge + whole[place + 16 :])
    with pytest.raises(PictureError, match="too large"):
        formats.read_picture(tmp_path / "b.exr")
    assert capfd.readouterr() == ("", "")


def test_without_the_package_the_extra_is_named(tmp_path, light, monkeypatch):
    source = stored(tmp_path / "a.exr", {"RGB": light})
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MissingPackageError, match=r"package OpenEXR.*gknet-harmonize\[exr\]"):
        formats.read_picture(source)
    with pytest.raises(MissingPackageError, match="package OpenEXR"):
        formats.check_writable(tmp_path / "b.exr", 3)


def test_other_channels_attributes_and_parts_get_a_note_in_other_formats(tmp_path, light):
    light = light[:64]
    bare = {name: value for name, value in HEADER.items() if name != "comments"}
    plain = formats.read_picture(stored(tmp_path / "a.exr", {"RGB": light}, bare))
    assert formats.find_write_notes(tmp_path / "a.tif", plain) == []
    planes = {name: light[..., 0].copy() for name in "CDEFHIZ"}
    header = {**HEADER, "owner": "Ann", "pixelAspectRatio": 2.0}
    parts = [OpenEXR.Part({**header, "name": name}, {"RGB": light, **planes}) for name in "ab"]
    OpenEXR.File(parts).write(str(tmp_path / "b.exr"))
    rich = formats.read_picture(tmp_path / "b.exr")
    assert formats.find_write_notes(tmp_path / "a.tif", rich) == [
        "other channels are left out (C, D, E, F, H, I and 1 more); an OpenEXR output keeps them",
        "attributes of the header are left out (comments, owner and pixelAspectRatio); an OpenEXR output keeps them",
        "the file's other parts are left out; an OpenEXR output keeps them",
    ]
    assert formats.find_write_notes(tmp_path / "c.exr", rich) == []


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_picture_with_alpha_is_written_to_other_formats(tmp_path, light, suffix):
    bare = {name: value for name, value in HEADER.items() if name != "comments"}
    soft = np.full((64, 64, 1), 0.5, np.float32)
    pixels = np.concatenate([light[10:74, :64].clip(0, 1) * soft, soft], axis=2)
    read = formats.read_picture(stored(tmp_path / "a.exr", {"RGBA": pixels}, bare))
    formats.write_picture(tmp_path / f"a{suffix}", read.pixels, read)
    assert formats.find_write_notes(tmp_path / f"a{suffix}", read) == []
    assert formats.read_picture(tmp_path / f"a{suffix}").pixels.shape == (64, 64, 4)


def test_a_text_that_is_not_utf8_is_not_called_damage(tmp_path, light):
    path = stored(tmp_path / "a.exr", {"RGB": light}, {**HEADER, "owner": "Ann Example"})
    path.write_bytes(path.read_bytes().replace(b"Ann Example", "Anné Exämpl".encode("latin-1")))
    with pytest.raises(UnsupportedError, match="not UTF-8"):
        formats.read_picture(path)
