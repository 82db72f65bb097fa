"""Files as ImageMagick writes them mean to `gknet` what they mean to ImageMagick."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from gknet.errors import UnsupportedError
from gknet.files.formats import read_mask, read_picture
from tests.gknet.photographs import photograph
from tests.hosts.chroot import SID, TRIXIE, Chroot
from tests.hosts.conftest import usable

HEIGHT, WIDTH = 61, 90


class Case(NamedTuple):
    """options: between ImageMagick's input and its output.   name: of that file.

    raw: ImageMagick's name for the channels that it should hold.   depth: of the values read.
    tolerance: of their mean, in levels of 8 bits; decoders of lossy files round differently.
    """

    name: str
    options: str
    raw: str = "rgb"
    depth: str = "uint8"
    tolerance: float = 0


SOFT = "( +clone -colorspace gray ) -alpha off -compose copy-opacity -composite"
FLAT = "-define psd:write-layers=false"
READ = [
    Case("plain.png", ""),
    Case("deep.png", "-depth 16 -evaluate multiply 0.997", depth="uint16"),
    Case("interlaced.png", "-interlace png"),
    Case("palette.png", "-colors 60 -type palette"),
    Case("gray.png", "-colorspace gray", "gray"),
    Case("gray-16.png", "-colorspace gray -depth 16 -evaluate multiply 0.997", "gray", "uint16"),
    Case("alpha.png", SOFT, "rgba"),
    Case("alpha-16.png", f"{SOFT} -depth 16 -channel rgb -evaluate multiply 0.997 +channel", "rgba", "uint16"),
    Case("plain.jpg", "-quality 93", tolerance=0.5),
    Case("whole-chroma.jpg", "-sampling-factor 1x1 -quality 97", tolerance=0.5),
    Case("progressive.jpg", "-interlace jpeg", tolerance=0.5),
    Case("gray.jpg", "-colorspace gray", "gray", tolerance=0.5),
    Case("plain.webp", "-quality 90", tolerance=2),
    Case("lossless.webp", "-define webp:lossless=true"),
    Case("alpha.webp", f"{SOFT} -define webp:lossless=true -define webp:exact=true", "rgba"),
    Case("plain.tif", "-compress none"),
    Case("lzw.tif", "-compress lzw"),
    Case("zip.tif", "-compress zip -depth 16 -evaluate multiply 0.997", depth="uint16"),
    Case("packbits.tif", "-compress rle"),
    Case("jpeg.tif", "-compress jpeg -quality 95", tolerance=0.5),
    Case("big-endian.tif", "-endian msb -depth 16 -evaluate multiply 0.997", depth="uint16"),
    Case("planes.tif", "-interlace plane -compress lzw"),
    Case("tiles.tif", "-define tiff:tile-geometry=32x32 -compress zip"),
    Case("strips.tif", "-define tiff:rows-per-strip=7 -compress zip"),
    Case("palette.tif", "-colors 60 -type palette", tolerance=0.5),  # its colors have 16 bits, which are rounded
    Case("gray.tif", "-colorspace gray -compress lzw", "gray"),
    Case("inverted.tif", "-colorspace gray -define quantum:polarity=min-is-white", "gray"),
    Case("float.tif", "-depth 32 -define quantum:format=floating-point", depth="float32"),
    Case("alpha.tif", f"{SOFT} -define tiff:alpha=unassociated", "rgba"),
    Case("premultiplied.tif", f"{SOFT} -define tiff:alpha=associated -depth 16", "rgba", "uint16", tolerance=0.1),
    Case("flat.psd", FLAT),
    Case("packed.psd", f"{FLAT} -compress rle"),
    Case("deep.psd", f"{FLAT} -depth 16 -evaluate multiply 0.997", depth="uint16"),
    Case("gray.psd", f"{FLAT} -colorspace gray", "gray"),
]
REFUSED = {
    "cmyk.jpg": "-colorspace cmyk",
    "cmyk.tif": "-colorspace cmyk",
    "lab.tif": "-colorspace lab",
    "double.tif": "-depth 64 -define quantum:format=floating-point",
    "unmarked.tif": f"{SOFT} -define tiff:alpha=unspecified",
    "lzma.tif": "-compress lzma",
    "cmyk.psd": "-colorspace cmyk",
}
OTHERS = {
    "fax.tif": "-monochrome -compress group4",
    "turned.tif": "-orient right-top",
    "placed.png": f"{SOFT} -repage 200x200+9+7",
    "placed.tif": f"{SOFT} -repage 200x200+9+7 -units pixelspercentimeter -density 100",
    "wide.png": "-profile p3.icc",
    "wide.jpg": "-profile p3.icc",
    "wide.tif": "-profile p3.icc",
    "wide.webp": "-profile p3.icc",
    "wide.psd": f"{FLAT} -profile p3.icc",
}


@pytest.fixture(scope="module", params=[TRIXIE, SID], ids=lambda chroot: f"debian-{chroot.suite}")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ImageMagick wrote all files, and the raw values that it reads from each."""
    chroot: Chroot = usable(request.param)
    made = tmp_path_factory.mktemp("imagemagick")
    Image.fromarray(photograph(height=HEIGHT, width=WIDTH)).save(made / "in.ppm")
    (made / "p3.icc").write_bytes(wide_gamut())
    options = {case.name: case.options for case in READ} | REFUSED | OTHERS
    lines = [f"magick in.ppm {' '.join(map(shlex.quote, options[name].split()))} {name}" for name in options]
    for case in READ:
        kind = {
            "uint8": "-depth 8",
            "uint16": "-depth 16",
            "float32": "-depth 32 -define quantum:format=floating-point",
        }
        lines.append(f"magick {case.name} {kind[case.depth]} {case.raw}:{case.name}.raw")
    (made / "make").write_text("\n".join(["set -e", f"cd {shlex.quote(str(made))}", *lines]))
    words = chroot.command(["sh", made / "make"], home=made, binds=[made], display=False)
    ran = subprocess.run(words, env=chroot.environment({}), capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return made


def wide_gamut() -> bytes:
    from gknet.color import icc

    return icc.build_profile("Display P3", (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329), icc.SRGB_CURVE)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_values_are_those_that_imagemagick_reads(folder: Path, case: Case) -> None:
    found = read_picture(folder / case.name).pixels
    assert found.dtype == case.depth
    channels = len(case.raw) if case.raw != "gray" else 1
    expected = np.fromfile(folder / f"{case.name}.raw", case.depth).reshape(HEIGHT, WIDTH, channels)
    if case.depth == "float32":
        np.testing.assert_allclose(found, expected, atol=1e-6)
        return
    assert found.shape == expected.shape
    full = np.iinfo(found.dtype).max
    if channels == 4:  # what is transparent has no colours
        visible = expected[..., 3] > full // 50
        assert np.array_equal(found[..., 3], expected[..., 3])
        found, expected = found[visible], expected[visible]
    off = np.abs(found.astype(float) - expected).mean() * 255 / full
    assert off <= case.tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UnsupportedError):
        read_picture(folder / name)


def test_a_fax_is_a_mask(folder: Path) -> None:
    mask = read_mask(folder / "fax.tif")
    assert mask.shape == (HEIGHT, WIDTH)
    assert set(np.unique(mask)) == {0, mask.max()}


def test_a_turned_picture_is_upright(folder: Path) -> None:
    turned = read_picture(folder / "turned.tif")
    assert turned.orientation == 6
    assert np.array_equal(turned.pixels, np.rot90(photograph(height=HEIGHT, width=WIDTH), -1))


@pytest.mark.parametrize("name", ["placed.png", "placed.tif"])
def test_a_position_is_kept(folder: Path, name: str) -> None:
    assert read_picture(folder / name).position == (9, 7)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "psd"])
def test_a_profile_is_kept(folder: Path, suffix: str) -> None:
    assert read_picture(folder / f"wide.{suffix}").profile == wide_gamut()
