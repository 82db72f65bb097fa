"""Gray of limited range in AVIF and HEIC, which decoders return as it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from gknet.files import formats
from gknet.files.conversion import expand_limited, expand_range

RAMP = np.tile(np.arange(0, 256, 4, np.uint8), (64, 1))


@pytest.mark.parametrize("has_box", [True, False])
@pytest.mark.parametrize("range", ["limited", "full"])
def test_gray_avif_fills_the_full_range(tmp_path: Path, range: str, has_box: bool) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(RAMP).save(path, quality=100, range=range, subsampling="4:0:0")
    if not has_box:  # then the stream's header counts
        path.write_bytes(path.read_bytes().replace(b"colrnclx", b"freenclx"))
    pixels = formats.read_picture(path).pixels
    assert np.abs(pixels.astype(int) - RAMP[..., None]).max() <= 2


def test_transparency_keeps_its_values(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RAMP, RAMP[:, ::-1]]), "LA").save(
        tmp_path / "a.avif", quality=100, range="limited", subsampling="4:0:0"
    )
    pixels = formats.read_picture(tmp_path / "a.avif").pixels.astype(int)
    assert np.abs(pixels - np.dstack([RAMP, RAMP, RAMP, RAMP[:, ::-1]])).max() <= 2


def test_gray_heic_fills_the_full_range(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    limited = np.rint(16 + RAMP * (219 / 255)).astype(np.uint8)
    pillow_heif.from_pillow(Image.fromarray(limited)).save(path, quality=100)
    stored = formats.read_picture(path).pixels.astype(int)
    assert np.abs(stored - limited[..., None]).max() <= 2
    content = bytearray(path.read_bytes())
    content[content.index(b"nclx") + 10] = 0
    path.write_bytes(content)
    assert np.abs(formats.read_picture(path).pixels.astype(int) - RAMP[..., None]).max() <= 3


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_values_fill_the_full_range(bits: int) -> None:
    levels = np.array([0, 16, 125.5, 235, 255]) * 2 ** (bits - 8)
    pixels = expand_range((levels.astype(np.uint16) << (16 - bits)).reshape(1, -1, 1), bits)
    assert expand_limited(pixels, bits).ravel() == pytest.approx([0, 0, 32767.5, 65535, 65535], abs=40)
