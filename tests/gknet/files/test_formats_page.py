"""Every row of the tables in docs/formats.md, tried with a file of that kind."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pillow_heif
import psd_tools
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from psd_tools.constants import Resource
from psd_tools.psd.image_resources import AlphaNamesUnicode, ImageResource

from gknet.color import icc
from gknet.errors import UnsupportedError
from gknet.files import formats
from gknet.files.layered.layers import Layers, open_layers
from gknet.files.metadata import exif
from gknet.files.picture import Picture
from tests.gknet import ora, statements
from tests.gknet.files import test_metadata
from tests.gknet.files.test_picture import resaved
from tests.gknet.photographs import photograph
from tests.gknet.statements import cicp, gama

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")


def list_rows(text: str) -> list[tuple[str, ...]]:
    return [
        tuple(cell.strip() for cell in line.strip("| ").split("|"))
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| Format", "| ---"))
    ]


ROWS, METADATA_ROWS = map(list_rows, PAGE.split("## Metadata"))
RGB = photograph(height=60, width=80)
RGBA = np.dstack([RGB, RGB[..., 0].clip(100, 255)])
P3 = icc.build_profile("Display P3", (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329), icc.SRGB_CURVE)
PQ = icc.build_profile("Rec. 2100 PQ", icc.REC_709, (1.0,))
ADOBE = statements.exif(statements.ADOBE)
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "WebP": ".webp", "AVIF": ".avif", "HEIC": ".heic"}
ALL_SUFFIXES = {**SUFFIXES, "OpenEXR": ".exr", "Photoshop": ".psd", "OpenRaster": ".ora"}
PRIMARIES = [(319, 5, 6, (68, 100, 32, 100, 265, 1000, 69, 100, 15, 100, 6, 100), True)]


def save(path: Path, pixels: np.ndarray = RGB, **options: Any) -> None:
    if path.suffix == ".heic":
        pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, **options)
    else:
        Image.fromarray(pixels).save(path, **options)


def without_code_points(path: Path) -> None:
    save(path)
    if path.suffix in (".avif", ".heic"):
        statements.set_code_points(path, 2, 2, 6)


def exr(path: Path, planes: dict[str, np.ndarray], **header: Any) -> None:
    standard = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File({**standard, **header}, planes).write(str(path))


def light(depth: type = np.float32) -> dict[str, np.ndarray]:
    return {name: (RGB[..., i] / 255).astype(depth) for i, name in enumerate("RGB")}


def tiff(path: Path, pixels: np.ndarray, photometric: str, *extra: str, **options: Any) -> None:
    options |= {"extrasamples": extra} if extra else {}
    tifffile.imwrite(path, pixels, photometric=photometric, planarconfig="contig", **options)


def ten_bits(path: Path) -> None:
    deep = RGB.astype(np.uint16) * np.uint16(257)
    if path.suffix == ".heic":
        pillow_heif.from_bytes("RGB;16", (80, 60), deep.tobytes()).save(path)
    else:
        import pyvips

        image = pyvips.Image.new_from_array(deep, interpretation="rgb16")
        image.heifsave(str(path), compression="av1", bitdepth=10)


def photoshop(path: Path) -> None:
    document = psd_tools.PSDImage.new("RGB", (80, 60))
    document.create_pixel_layer(Image.fromarray(RGBA[:20, :20]), name="a", top=7, left=9)
    key = Resource.ALPHA_NAMES_UNICODE
    names = AlphaNamesUnicode(["Transparency", "Sky"])
    document.image_resources[key] = ImageResource(key=key, name="", data=names)
    document.save(path)


def with_window(path: Path) -> None:
    corners = (np.array([5, 6], np.int32), np.array([84, 65], np.int32))
    whole = (np.array([0, 0], np.int32), np.array([99, 79], np.int32))
    exr(path, light(), dataWindow=corners, displayWindow=whole)


def positioned(path: Path) -> None:
    if path.suffix == ".png":
        statements.png(path, RGBA, (b"oFFs", b"\0\0\0\x09\0\0\0\x07\0"))
    else:
        place = [(286, 5, 1, (9, 1), True), (287, 5, 1, (7, 1), True)]
        tiff(path, RGBA, "rgb", "unassalpha", extratags=place, resolution=(1, 1))


MAKE: dict[str, list[Callable[[Path], object]]] = {
    "nothing about colours": [without_code_points],
    "an ICC profile": [lambda path: save(path, icc_profile=P3)],
    "PQ, HLG, unknown colours, damaged profiles": [
        lambda path: save(path, icc_profile=PQ),
        lambda path: save(path, icc_profile=P3[:200]),
        lambda path: save(path, icc_profile=P3.replace(b"RGB ", b"CMYK", 1)),
    ],
    "`cICP`, `sRGB`, `gAMA`, `cHRM`": [
        lambda path: statements.png(path, RGB, cicp(12, 13, 0, 1)),
        lambda path: statements.png(path, RGB, (b"sRGB", b"\0")),
        lambda path: statements.png(path, RGB, gama(100_000)),
        lambda path: statements.png(path, RGB, statements.chrm(*statements.ADOBE_CHRM)),
    ],
    "`nclx`, stream values": [
        lambda path: (save(path), statements.set_code_points(path, 12, 13, 6)),
        lambda path: (save(path), path.write_bytes(path.read_bytes().replace(b"colrnclx", b"skipnclx"))),
    ],
    "Adobe RGB in EXIF": [lambda path: (without_code_points(path), add_exif(path))],
    "primaries, a transfer function": [lambda path: tiff(path, RGB, "rgb", extratags=PRIMARIES)],
    "Rec. 709 primaries, or none": [
        lambda path: exr(path, light()),
        lambda path: exr(path, light(), chromaticities=icc.REC_709),
    ],
    "other colours": [lambda path: exr(path, light(), chromaticities=icc.ADOBE_RGB)],
    "16-bit float": [lambda path: tiff(path, (RGB / 255).astype(np.float16), "rgb")],
    "64-bit float, 32-bit integers": [
        lambda path: (
            tiff(path, RGB.astype(np.float64), "rgb") if path.suffix == ".tif" else exr(path, light(np.uint32))
        ),
        lambda path: tiff(path, RGB.astype(np.uint32), "rgb") if path.suffix == ".tif" else exr(path, light(np.uint32)),
    ],
    "10 bits": [ten_bits],
    "straight alpha": [lambda path: tiff(path, RGBA, "rgb", "unassalpha")],
    "premultiplied alpha": [
        lambda path: (
            tiff(path, RGBA, "rgb", "assocalpha")
            if path.suffix == ".tif"
            else save(path, RGBA, alpha_premultiplied=True)
        )
    ],
    "channels not marked as alpha": [
        lambda path: tiff(path, RGBA, "rgb", "unspecified"),
        lambda path: tiff(path, RGB, "minisblack", "unspecified", "unspecified"),
    ],
    "inverted gray": [lambda path: tiff(path, RGB[..., 0], "miniswhite")],
    "a palette": [lambda path: Image.fromarray(RGB).quantize(20).save(path)],
    "CMYK, Lab, raw values": [
        lambda path: tiff(path, RGBA, "separated"),
        lambda path: tiff(path, RGB, "cielab"),
        lambda path: tiff(path, RGB, "linear_raw"),
    ],
    "subsampled or chroma channels": [
        lambda path: exr(path, {name: RGB[..., 0].astype(np.float32) for name in ("Y", "RY", "BY")})
    ],
    "saved channels": [photoshop],
    "a data window": [with_window],
    "a position on a page": [positioned],
    "positions of layers": [lambda path: photoshop(path) if path.suffix == ".psd" else layered(path)],
}


def add_exif(path: Path) -> None:
    """Write it again with EXIF, by a program that the suffix allows."""
    if path.suffix == ".heic":
        pillow_heif.from_pillow(Image.fromarray(RGB)).save(path, exif=ADOBE.tobytes())
        statements.set_code_points(path, 2, 2, 6)
    elif path.suffix == ".tif":
        statements.tiff_with_exif(path, RGB)
    else:
        save(path, exif=ADOBE)


def layered(path: Path) -> None:
    inner = '<layer name="a" src="a.png" x="9" y="7"/>'
    ora.write(path, ora.stack((80, 60), inner), {"a.png": ora.png(RGBA[:20, :20])})


def layer_place(path: Path) -> tuple[int, int]:
    document = open_layers(path)
    assert document is not None
    return document.nodes[0].left, document.nodes[0].top


def notes_of(path: Path) -> list[str]:
    document = open_layers(path)
    assert document is not None
    return document.notes


def has_its_own_colors(read: Picture) -> bool:
    return read.space == "linear" or read.profile is not None or read.pixels.shape[2] == 4


# What is true of each result.
CHECKS: dict[str, Callable[[Path, Picture], bool]] = {
    "sRGB": lambda _, read: read.encoding.is_srgb and read.profile is None,
    "ICC profile": lambda path, read: read.profile == formats.read_picture(resaved(path, ".png")).profile is not None,
    "32-bit float": lambda _, read: read.pixels.dtype == np.float32,
    "16 bits": lambda _, read: read.pixels.dtype == np.uint16,
    "straight alpha": lambda _, read: read.pixels[..., 0].astype(int).sum() > RGB[..., 0].astype(int).sum(),
    "gray": lambda _, read: np.array_equal(read.pixels, 255 - RGB[..., :1]),
    "RGB": lambda _, read: read.pixels.shape[2] == 3,
    "placed in the display window": lambda _, read: read.pixels.shape == (80, 100, 3),
    "position of a cut-out": lambda path, read: read.position == formats.read_picture(resaved(path)).position == (9, 7),
}
LAYERED: dict[str, Callable[[Path], bool]] = {
    "left out, with a note": lambda path: notes_of(path) == ["the saved channel 'Sky' is left out"],
    "kept": lambda path: layer_place(path) == (9, 7),
}


def test_the_table_and_the_files_tried_are_complete() -> None:
    assert {row[1] for row in ROWS} == MAKE.keys()
    assert {row[2] for row in ROWS} == CHECKS.keys() | LAYERED.keys() | {"refused"}


@pytest.mark.parametrize(("format", "has", "result"), ROWS, ids=lambda text: text)
def test_each_row_of_the_table_is_true(tmp_path: Path, format: str, has: str, result: str) -> None:
    for name in SUFFIXES if format == "any but OpenEXR" else format.split(", "):
        path = tmp_path / f"a{ALL_SUFFIXES[name]}"
        for make in MAKE[has]:
            make(path)
            if result == "refused":
                with pytest.raises(UnsupportedError):
                    formats.read_picture(path)
            elif path.suffix in (".psd", ".ora"):
                assert LAYERED[result](path)
            else:
                read = formats.read_picture(path)
                kept = formats.read_picture(resaved(path, None if path.suffix in formats._SUFFIXES else ".png"))
                check = CHECKS.get(result)
                assert check(path, read) if check else has_its_own_colors(read)
                assert (kept.profile, kept.space) == (read.profile, read.space)
                if path.suffix not in (".jpg", ".webp"):
                    np.testing.assert_array_equal(kept.pixels, read.pixels)


WRITTEN_METADATA = {
    "exif-data": test_metadata.exif_block(),
    "xmp-data": test_metadata.PLAIN_XMP,
    "iptc-data": test_metadata.IIM,
    "photoshop-data": test_metadata.BLOCKS,
    "comments": [b"A cup"],
    "png-texts": [test_metadata.chunk(b"tEXt", b"Author\0Anna")],
    "xres": 5.0,
    "yres": 5.0,
}


def list_kinds(read: Picture) -> set[str]:
    """What the table calls the metadata of a file that was made of WRITTEN_METADATA or by test_metadata's makers."""
    found = read.metadata
    names = {"EXIF": "exif-data", "XMP": "xmp-data", "IPTC": "iptc-data", "Photoshop resources": "photoshop-data"}
    kinds = {kind for kind, name in {**names, "comments": "comments", "texts": "png-texts"}.items() if name in found}
    if read.format == "tiff" and test_metadata.TEXT.encode() in found["exif-data"]:
        kinds.add("texts")  # they are tags beside EXIF's
    return kinds | ({"resolution"} if "xres" in found else set())


def list_kinds_after_writing(path: Path) -> set[str]:
    """The metadata that a file of this suffix has after it was read and, if the format allows, written."""
    if path.suffix == ".exr":
        exr(path, light(), comments="A cup")
        return {"header"} if OpenEXR.File(str(resaved(path))).header()["comments"] == "A cup" else set()
    if path.suffix == ".ora":
        info = PngInfo()
        info.add_text("Author", "Anna")
        stack = ora.stack((80, 60), '<layer name="cup" src="a"/><layer name="ground" src="b"/>')
        stack = stack.replace(b"<image ", b'<image xres="127" yres="127" ')
        ora.write(path, stack, {"a": ora.png(RGBA, pnginfo=info), "b": ora.png(RGB)})
        document = open_layers(path)
        assert document is not None
        layers, out = Layers(document, "cup"), path.with_name("b.ora")
        document.write(out, layers.chosen, layers.foreground, layers.merge())
        written = open_layers(out)
        assert written is not None
        with Image.open(io.BytesIO(ora.contents(out)["data/harmonized-0.png"])) as opened:
            texts = {"texts"} if opened.text == {"Author": "Anna"} else set()
        return texts | ({"resolution"} if written.metadata["xres"] == pytest.approx(5) else set())
    if path.suffix in (".avif", ".heic"):
        block = exif.set_resolution(test_metadata.exif_block(), WRITTEN_METADATA, add=True)
        test_metadata.with_blocks(path, block, test_metadata.PLAIN_XMP)
    elif path.suffix == ".psd":
        test_metadata.photoshop_file(path)
    else:
        formats.write_picture(path, RGB, Picture(pixels=RGB, metadata=WRITTEN_METADATA))
    return list_kinds(formats.read_picture(path))


@pytest.mark.parametrize(("format", "kept"), METADATA_ROWS, ids=lambda text: text)
def test_each_row_of_the_metadata_is_true_and_complete(tmp_path: Path, format: str, kept: str) -> None:
    for name in format.split(", "):
        assert list_kinds_after_writing(tmp_path / f"a{ALL_SUFFIXES[name]}") == set(kept.split(", ")), name


def test_the_metadata_of_every_format_is_described() -> None:
    assert {name for row in METADATA_ROWS for name in row[0].split(", ")} == ALL_SUFFIXES.keys()
