"""HEIC as phones write it, and AVIF of more than 8 bits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

from gknet import UnsupportedError
from gknet.errors import MissingPackageError, PictureError
from gknet.files import formats
from tests.gknet import icc

P3 = icc.rgb(icc.DISPLAY_P3, icc.srgb_curve())


@pytest.fixture
def rgb(photograph: np.ndarray) -> np.ndarray:
    """(200, 300, 3) uint8."""
    return np.ascontiguousarray(photograph[:200, :300])


def stored(path: Path, pixels: np.ndarray, **options: object) -> Path:
    mode = "RGB;16" if pixels.dtype == np.uint16 else "RGB"
    size = (pixels.shape[1], pixels.shape[0])
    pillow_heif.from_bytes(mode, size, pixels.tobytes()).save(path, quality=95, **options)
    return path


def test_pixels_profile_and_exif_are_read(tmp_path: Path, rgb: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6  # which HEIC's decoders have obeyed already
    read = formats.read_picture(stored(tmp_path / "a.heic", rgb, exif=exif.tobytes(), icc_profile=P3))
    assert np.abs(read.pixels.astype(int) - np.rot90(rgb, -1)).mean() < 3
    assert (read.profile, read.orientation) == (P3, 1)
    formats.write_picture(tmp_path / "b.jpg", read.pixels, read)
    with Image.open(tmp_path / "b.jpg") as again:
        assert again.info["icc_profile"] == P3
        assert (again.getexif()[0x010F], again.getexif().get(0x0112, 1)) == ("Maker", 1)


def test_ten_bits_fill_sixteen(tmp_path: Path, rgb: np.ndarray) -> None:
    deep = rgb.astype(np.uint16) * np.uint16(257)
    deep[:100, :100] = 65535
    read = formats.read_picture(stored(tmp_path / "a.heic", deep))
    assert read.pixels.dtype == np.uint16
    assert np.median(read.pixels[20:80, 20:80]) == 65535
    assert np.abs(read.pixels.astype(int) - deep).mean() < 3 * 257
    image = pyvips.Image.new_from_array(deep, interpretation="rgb16")
    image.heifsave(str(tmp_path / "a.avif"), compression="av1", bitdepth=10, Q=95)
    read = formats.read_picture(tmp_path / "a.avif")
    assert np.median(read.pixels[20:80, 20:80]) == 65535


def test_what_cannot_be_read_is_refused(tmp_path: Path, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stored(tmp_path / "a.heic", rgb).read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "b.heic").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(PictureError, match="damaged"):
            formats.read_picture(tmp_path / "b.heic")
    with pytest.raises(PictureError, match="suffix"):
        formats.check_writable(tmp_path / "b.heic", 3)
    place = whole.index(b"colrnclx") + 8
    (tmp_path / "b.heic").write_bytes(whole[: place + 2] + b"\0\x10" + whole[place + 4 :])  # transfer: PQ
    with pytest.raises(UnsupportedError, match="HDR"):
        formats.read_picture(tmp_path / "b.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MissingPackageError, match=r"package pillow-heif.*gknet-harmonize\[heic\]"):
        formats.read_picture(tmp_path / "a.heic")
