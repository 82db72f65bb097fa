"""Mutations of valid files end in a picture or one line: never a traceback, a hang, or gigabytes of memory.

GKNET_MUTATIONS sets their number for each format.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import OpenEXR
import psd_tools
import pytest
from PIL import Image

from tests.gknet import ora
from tests.gknet.files.test_metadata import exif_block, with_blocks, xmp_packet
from tests.gknet.photographs import photograph

COUNT = os.environ.get("GKNET_MUTATIONS", "1300")
MOST_BYTES = 2 << 30


def write_exr(path: Path) -> None:
    light = (photograph(height=40, width=60) / 255).astype(np.float16)
    header = {"compression": OpenEXR.DWAA_COMPRESSION, "type": OpenEXR.scanlineimage, "comments": "kept"}
    OpenEXR.File(header, {"RGB": light, "A": light[..., 0].copy()}).write(str(path))


def write_openraster(path: Path) -> None:
    cutout = np.dstack([photograph(height=40, width=60), np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))])
    stack = ora.stack((60, 40), '<layer name="cup" src="a"/><layer name="ground" src="b"/>')
    ora.write(path, stack, {"a": ora.png(cutout), "b": ora.png(255 - cutout[..., :3])})


def write_photoshop(path: Path) -> None:
    document = psd_tools.PSDImage.new("RGB", (60, 40))
    document.create_pixel_layer(Image.fromarray(photograph(height=40, width=60)), name="ground")
    cutout = Image.fromarray(np.full((20, 20, 4), 128, np.uint8))
    document.create_pixel_layer(cutout, name="cup", top=9, left=9)
    document.save(path)


def write_flat_photoshop(path: Path) -> None:
    psd_tools.PSDImage.frompil(Image.fromarray(photograph(height=40, width=60))).save(path)


def write_raster(path: Path) -> None:
    with_blocks(path, exif_block(), xmp_packet())


FILES: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(("a.jpg", "a.png", "a.tif", "a.webp", "a.avif", "a.heic"), write_raster),
    "a.exr": write_exr,
    "a.ora": write_openraster,
    "a.psd": write_photoshop,
    "flat.psd": write_flat_photoshop,
}


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", FILES)
def test_mutations_end_in_a_picture_or_one_line(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    command = [sys.executable, "-m", "tests.gknet.files.mutations", tmp_path / name, COUNT]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert ran.returncode == 0, f"mutation {ran.stdout.split()[-1:]} ended with {ran.returncode}: {ran.stderr[-2000:]}"
    assert ran.stderr == ""
    assert int(ran.stdout.split()[-1]) < MOST_BYTES
