"""Contents of a file that are not read: the result lacks them, and a note says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pillow_heif
import psd_tools
import pytest
import tifffile
from PIL import Image
from psd_tools.constants import Resource
from psd_tools.psd.image_resources import AlphaNamesUnicode, ImageResource

from gknet.errors import UnsupportedError
from gknet.files import formats
from gknet.files.picture import Picture
from gknet.scene import CompositeScene, LayeredScene, LayerScene
from tests.gknet import ora
from tests.gknet.photographs import photograph

FIRST = "only the first page or frame of the file is kept"


@pytest.fixture
def rgb() -> np.ndarray:
    """(60, 80, 3) uint8."""
    return photograph(height=60, width=80)


def notes_on(path: Path) -> list[str]:
    return list(formats.read_picture(path).notes)


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png", ".avif"])
def test_other_pages_and_frames_get_a_note(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(rgb).save(path)
    assert notes_on(path) == []
    Image.fromarray(rgb).save(path, save_all=True, append_images=[Image.fromarray(255 - rgb)])
    assert notes_on(path) == [FIRST]


def test_other_pictures_in_a_heic_get_a_note(tmp_path: Path, rgb: np.ndarray) -> None:
    file = pillow_heif.from_pillow(Image.fromarray(rgb))
    file.save(tmp_path / "a.heic")
    assert notes_on(tmp_path / "a.heic") == []
    file.add_from_pillow(Image.fromarray(255 - rgb))
    file.save(tmp_path / "a.heic")
    assert notes_on(tmp_path / "a.heic") == [FIRST]


def test_other_slices_of_a_volume_get_a_note(tmp_path: Path, rgb: np.ndarray) -> None:
    volume = np.repeat(rgb[:48, None].transpose(1, 0, 2, 3), 16, axis=0)
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="rgb", volumetric=True, tile=(16, 16, 16))
    assert notes_on(tmp_path / "a.tif") == [FIRST]


@pytest.mark.parametrize("big", [False, True])
def test_reduced_copies_do_not_count_as_pages(tmp_path: Path, rgb: np.ndarray, big: bool) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=">") as file:
        file.write(rgb, photometric="rgb", subifds=1)
        file.write(rgb[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(rgb[::4, ::4], photometric="rgb", subfiletype=1)
    assert notes_on(path) == []
    np.testing.assert_array_equal(formats.read_picture(path).pixels, rgb)


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_that_begins_with_a_thumbnail_is_refused(tmp_path: Path, rgb: np.ndarray, big: bool) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb[::4, ::4], photometric="rgb", subfiletype=1, bigtiff=big)
    assert formats.read_picture(path).pixels.shape == (15, 20, 3)  # there is nothing else
    tifffile.imwrite(path, rgb, photometric="rgb", append=True)
    with pytest.raises(UnsupportedError, match="begins with a thumbnail") as caught:
        formats.read_picture(path)
    assert str(path) in caught.value.message


def test_a_cycle_of_pages_ends(tmp_path: Path, rgb: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder="<") as file:
        file.write(rgb, photometric="rgb")
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[4:8], "little")
    end = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    content[end : end + 4] = content[4:8]
    path.write_bytes(content)
    assert notes_on(path) == []


@pytest.mark.parametrize("key", [b"ryaL", b"Layr", b"61rL"])
def test_photoshop_layers_in_a_tiff_get_a_note(tmp_path: Path, rgb: np.ndarray, key: bytes) -> None:
    block = b"Adobe Photoshop Document Data Block\0" + b"MIB8" + key + bytes([4, 0, 0, 0]) + bytes(4)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", extratags=[(37724, 7, len(block), block, True)])
    assert notes_on(tmp_path / "a.tif") == ["Photoshop's layers in the TIFF are left out"]
    block = block.replace(key, b"ksML")
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", extratags=[(37724, 7, len(block), block, True)])
    assert notes_on(tmp_path / "a.tif") == []


@pytest.mark.parametrize(
    "segment",
    [
        b'\xff\xe1http://ns.adobe.com/xap/1.0/\0<a xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>',
        b"\xff\xe2urn:iso:std:iso:ts:21496:-1\0\0\0\0\0",
    ],
)
def test_a_gain_map_gets_a_note(tmp_path: Path, rgb: np.ndarray, segment: bytes) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(rgb).save(path)
    assert notes_on(path) == []
    content = path.read_bytes()
    path.write_bytes(content[:2] + segment[:2] + len(segment).to_bytes(2, "big") + segment[2:] + content[2:])
    assert notes_on(path) == ["the file's HDR gain map is left out"]


@pytest.mark.parametrize("names", [["Transparency\0", "Dog\0"], ["Dog"], []])
@pytest.mark.parametrize("gray", [False, True])
def test_saved_channels_of_a_flat_photoshop_file_get_a_note(
    tmp_path: Path, rgb: np.ndarray, names: list[str], gray: bool
) -> None:
    path = tmp_path / "a.psd"
    pixels = rgb[..., [0, 1]] if gray else np.dstack([rgb, rgb[..., 0]])
    document = psd_tools.PSDImage.frompil(Image.fromarray(pixels, "LA" if gray else "RGBA"))
    if names:
        key = Resource.ALPHA_NAMES_UNICODE
        document.image_resources[key] = ImageResource(key=key, name="", data=AlphaNamesUnicode(names))
    document.save(path)
    assert notes_on(path) == [f"the saved channel '{'Dog' if names else 'Alpha 1'}' is left out"]


def test_both_kinds_of_scene_pass_notes_on(tmp_path: Path, rgb: np.ndarray) -> None:
    pages = {"save_all": True, "append_images": [Image.fromarray(rgb)]}
    Image.fromarray(rgb).save(tmp_path / "a.tif", **pages)
    mask = np.zeros(rgb.shape[:2], np.uint8)
    mask[20:40, 20:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.dstack([rgb, mask])).save(
        tmp_path / "cutout.png", save_all=True, append_images=pages["append_images"]
    )
    Image.fromarray(mask).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(mask)])
    on_picture, on_mask, on_cutout = (f"{tmp_path / name}: {FIRST}" for name in ("a.tif", "pages.tif", "cutout.png"))

    def notes(*pair: str) -> Sequence[str]:
        return CompositeScene(tmp_path / pair[0], tmp_path / pair[1], lambda *_: None).notes

    assert notes("a.tif", "mask.png") == [on_picture]
    assert notes("a.tif", "pages.tif") == [on_picture, on_mask]
    pasted = LayerScene(tmp_path / "cutout.png", tmp_path / "a.tif", None, 1.0, lambda *_: None)
    assert pasted.notes == [on_picture, on_cutout]


def test_a_colored_cutout_on_a_gray_background_gets_a_note(tmp_path: Path, rgb: np.ndarray) -> None:
    opaque, gray = np.full(rgb.shape[:2], 255, np.uint8), rgb[..., [0, 0, 0]]
    left_half = np.where(np.arange(80) < 40, opaque, 0)
    hidden_colors = np.where(left_half[..., None] > 0, gray, rgb)
    cutouts = {
        "colored": np.dstack([rgb, opaque]),
        "gray": np.dstack([gray, opaque]),
        "colored where transparent": np.dstack([hidden_colors, left_half]),
    }
    Image.fromarray(rgb).save(tmp_path / "colored background.png")
    Image.fromarray(rgb[..., 0]).save(tmp_path / "gray background.png")
    found = {}
    for name, cutout in cutouts.items():
        Image.fromarray(cutout).save(tmp_path / f"{name}.png")
        for ground in ("colored", "gray"):
            paths = tmp_path / f"{name}.png", tmp_path / f"{ground} background.png"
            found[name, ground] = list(LayerScene(*paths, None, 1.0, lambda *_: None).notes)
    assert "loses its colors" in found.pop(("colored", "gray"))[0]
    assert not any(found.values())


def test_notes_on_the_pixels_of_a_layer_name_the_layer(tmp_path: Path, rgb: np.ndarray) -> None:
    cutout = np.dstack([rgb, rgb[..., 0]])[10:30, 10:40]
    frames = {"save_all": True, "append_images": [Image.fromarray(cutout)]}
    inner = '<layer name="cup" src="a.png"/><layer name="ground" src="b.png"/>'
    file = ora.write(
        tmp_path / "a.ora", ora.stack((80, 60), inner), {"a.png": ora.png(cutout, **frames), "b.png": ora.png(rgb)}
    )
    assert LayeredScene(file, None, lambda *_: None).notes == [f"'cup': {FIRST}"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".exr"])
def test_values_that_the_output_cannot_store_get_a_note(rgb: np.ndarray, suffix: str) -> None:
    pixels = np.dstack([rgb, rgb[..., 0]]).astype(np.float32) / 255
    pixels[..., 3] *= 2  # not a color
    notes = [formats.find_write_notes(Path(f"a{suffix}"), Picture(pixels=pixels))]
    for value in (1.5, -0.5):
        pixels[10, 10, 1] = value
        notes.append(formats.find_write_notes(Path(f"a{suffix}"), Picture(pixels=pixels)))
    clipped = ["values above white and below black are clipped; float TIFF and OpenEXR keep them"]
    assert notes == [[], [], []] if suffix in (".tif", ".exr") else [[], clipped, clipped]
