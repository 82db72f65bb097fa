"""Mistaken, damaged and malicious input: it works, or one clear line says why not, and no file is replaced."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psd_tools
import pytest
import tifffile
from PIL import Image

from gknet.cli.app import main
from tests.gknet import icc, ora

PRECIOUS = b"precious"
NOTE = "gknet: Note: "


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command where out.png, out.ora and mask.png lie: its one line on standard error, "" if it has none."""
    monkeypatch.chdir(tmp_path)
    for name in ("out.png", "out.ora"):
        Path(name).write_bytes(PRECIOUS)
    mask = np.zeros((128, 128), np.uint8)
    mask[30:90, 30:90] = 255
    Image.fromarray(mask).save("mask.png")

    def command(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(["harmonize", *arguments])
        out, err = capfd.readouterr()
        if end.value.code:
            assert end.value.code == 2
            assert out == ""
            assert err.startswith("gknet: ")
            assert err.count("\n") == 1
            assert (Path("out.png").read_bytes(), Path("out.ora").read_bytes()) == (PRECIOUS, PRECIOUS)
            assert not list(tmp_path.glob(".gknet-*"))
        else:
            assert err == "" or (err.startswith(NOTE) and err.count("\n") == 1)
        return err

    return command


@pytest.fixture
def rgb(photograph: np.ndarray) -> np.ndarray:
    """(128, 128, 3) uint8."""
    return np.ascontiguousarray(photograph[:512:4, ::4])


def saved(name: str, pixels: np.ndarray, **options: object) -> str:
    Image.fromarray(pixels).save(name, **options)
    return name


def cmyk_profile() -> bytes:
    profile = bytearray(icc.rgb(icc.SRGB, icc.srgb_curve()))
    profile[16:20] = b"CMYK"
    return bytes(profile)


def frames(name: str, rgb: np.ndarray) -> str:
    Image.fromarray(rgb).save(name, save_all=True, append_images=[Image.fromarray(255 - rgb)], lossless=True)
    return name


def tiff(name: str, pixels: np.ndarray, **options: object) -> str:
    tifffile.imwrite(name, pixels, photometric="rgb", **options)
    return name


def cmyk(rgb: np.ndarray) -> str:
    Image.fromarray(rgb).convert("CMYK").save("a.tif")
    return "a.tif"


def floats(rgb: np.ndarray, value: float) -> np.ndarray:
    pixels = (rgb / 255).astype(np.float32)
    pixels[50, 60, 1] = value
    return pixels


# The picture, and what must be found in the line; "" where it works, and a note where it works with one.
FLAT: dict[str, tuple[Callable[[np.ndarray], str], str]] = {
    "a profile cut short": (
        lambda rgb: saved("a.jpg", rgb, icc_profile=icc.rgb(icc.SRGB, icc.srgb_curve())[:200]),
        "a.jpg has a color profile that cannot be used",
    ),
    "a profile of noise": (
        lambda rgb: saved("a.jpg", rgb, icc_profile=b"\0" * 16 + b"RGB " + bytes(range(256))),
        "a.jpg has a damaged color profile",
    ),
    "a profile of CMYK on RGB": (
        lambda rgb: saved("a.jpg", rgb, icc_profile=cmyk_profile()),
        "a.jpg has a color profile for CMYK, but its pixels are RGB",
    ),
    "a profile of gray on RGB": (
        lambda rgb: saved("a.jpg", rgb, icc_profile=icc.gray(icc.gamma(2.2))),
        "a.jpg has a color profile for gray, but its pixels are RGB",
    ),
    "CMYK": (cmyk, "CMYK"),
    "several pages, of which the first is taken": (
        lambda rgb: frames("a.tif", rgb),
        f"{NOTE}a.tif: only the first page",
    ),
    "several frames, of which the first is taken": (
        lambda rgb: frames("a.webp", rgb),
        f"{NOTE}a.webp: only the first page",
    ),
    "32-bit integers": (lambda rgb: tiff("a.tif", rgb.astype(np.uint32) << 24), "32-bit integer values"),
    "64-bit floats": (lambda rgb: tiff("a.tif", rgb / 255), "a.tif"),
    "a NaN": (lambda rgb: tiff("a.tif", floats(rgb, np.nan)), "NaN or infinite"),
    "an infinity": (lambda rgb: tiff("a.tif", floats(rgb, np.inf)), "NaN or infinite"),
}


@pytest.mark.parametrize("what", FLAT)
def test_flat_pictures(outcome: Callable[..., str], rgb: np.ndarray, what: str) -> None:
    make, words = FLAT[what]
    said = outcome(make(rgb), "mask.png", "-o", "out.png")
    assert words in said
    assert bool(said) == bool(words)
    if not words or words.startswith(NOTE):
        with Image.open("out.png") as opened:
            result = np.asarray(opened.convert("RGB")).astype(int)
        assert np.abs(result - rgb)[:30].mean() < 3, "the first page, in its own colors"


def layers(rgb: np.ndarray) -> ora.Rooms:
    cutout = np.dstack([rgb, np.zeros_like(rgb[..., 0])])
    cutout[30:90, 30:90, 3] = 255
    return {"data/cup.png": ora.png(cutout), "data/ground.png": ora.png(255 - rgb)}


STACK = '<layer name="cup" src="data/cup.png"/><layer name="ground" src="data/ground.png"/>'


def zipped(rgb: np.ndarray, stack: str | bytes = STACK, size: tuple[int, int] = (128, 128), **options: bytes) -> str:
    xml = stack if isinstance(stack, bytes) else ora.stack(size, stack)
    ora.write(Path("a.ora"), xml, layers(rgb), **options)
    return "a.ora"


def swollen(rgb: np.ndarray) -> str:
    """60 MB of zeros in 60 kB."""
    zipped(rgb)
    with zipfile.ZipFile("a.ora", "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data/bomb.png", bytes(60_000_000))
    return "a.ora"


def lying(rgb: np.ndarray) -> str:
    """A directory that says 100 bytes of a member that unpacks to more."""
    zipped(rgb)
    content = Path("a.ora").read_bytes()
    place = content.rindex(b"PK\x01\x02", 0, content.rindex(b"data/ground.png"))
    Path("a.ora").write_bytes(content[: place + 24] + struct.pack("<I", 100) + content[place + 28 :])
    return "a.ora"


def leading_out(rgb: np.ndarray, name: str) -> str:
    zipped(rgb)
    with zipfile.ZipFile("a.ora", "a") as file:
        file.writestr(name, b"owned")
    return "a.ora"


def encrypted(rgb: np.ndarray) -> str:
    zipped(rgb)
    content = bytearray(Path("a.ora").read_bytes())
    for start in (b"PK\x01\x02", b"PK\x03\x04"):
        content[content.rindex(start) + (8 if start[2] == 1 else 6)] |= 1
    Path("a.ora").write_bytes(content)
    return "a.ora"


def bomb_png(rgb: np.ndarray) -> str:
    huge = io.BytesIO()
    Image.new("1", (30_000, 20_000)).save(huge, "PNG")
    ora.write(Path("a.ora"), ora.stack((128, 128), STACK), {**layers(rgb), "data/cup.png": huge.getvalue()})
    return "a.ora"


LAUGHS = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + ora.stack((9, 9), STACK)[39:]

OPENRASTER: dict[str, tuple[Callable[[np.ndarray], str], str]] = {
    "all is well": (zipped, ""),
    "no layers": (lambda rgb: zipped(rgb, ""), "no layer with pixels"),
    "no layers but an empty group": (lambda rgb: zipped(rgb, '<stack name="g"/>'), "no layer with pixels"),
    "one layer alone": (lambda rgb: zipped(rgb, '<layer name="cup" src="data/cup.png"/>'), "fewer than two"),
    "a member that is nothing but zeros": (swollen, "too large when unpacked"),
    "a member that is larger than it says": (lying, "damaged"),
    "a canvas beyond all bounds": (lambda rgb: zipped(rgb, STACK, (90_000, 90_000)), "too large"),
    "a layer beyond all bounds": (bomb_png, "too large"),
    "a wrong mimetype": (lambda rgb: zipped(rgb, mimetype=b"application/zip"), "not an OpenRaster file"),
    "a name that leads up": (lambda rgb: leading_out(rgb, "../../owned.png"), "unsafe file names"),
    "a name that leads to the root": (lambda rgb: leading_out(rgb, "/tmp/owned.png"), "unsafe file names"),
    "a name that leads up in Windows": (lambda rgb: leading_out(rgb, "data\\..\\..\\owned.png"), "unsafe file names"),
    "a source that is not inside": (lambda rgb: zipped(rgb, STACK.replace("data/cup", "../mask")), "damaged"),
    "a source that is not a PNG": (lambda rgb: zipped(rgb, STACK.replace("data/cup.png", "stack.xml")), "damaged"),
    "an encrypted member": (encrypted, "damaged"),
    "no XML": (lambda rgb: zipped(rgb, b"<image"), "damaged"),
    "XML that defines entities": (lambda rgb: zipped(rgb, LAUGHS), "damaged"),
    "layers without end": (lambda rgb: zipped(rgb, STACK * 3000), "more than 4096"),
    "groups without end": (lambda rgb: zipped(rgb, "<stack>" * 2000 + STACK + "</stack>" * 2000), "damaged"),
    "an opacity of more than all": (lambda rgb: zipped(rgb, STACK.replace("/>", ' opacity="3"/>', 1)), "damaged"),
    "an opacity that is not a number": (lambda rgb: zipped(rgb, STACK.replace("/>", ' opacity="nan"/>', 1)), "damaged"),
    "a place that is not a number": (lambda rgb: zipped(rgb, STACK.replace("/>", ' x="left"/>', 1)), "damaged"),
    "a layer far outside": (
        lambda rgb: zipped(rgb, STACK.replace("/>", ' x="-2000000000"/>', 1)),
        "outside the background",
    ),
    "a layer that is transparent": (
        lambda rgb: zipped(rgb, STACK.replace("/>", ' opacity="0"/>', 1)),
        "no visible layer with transparency",
    ),
}


@pytest.mark.parametrize("what", OPENRASTER)
def test_openraster_files(outcome: Callable[..., str], rgb: np.ndarray, tmp_path: Path, what: str) -> None:
    make, words = OPENRASTER[what]
    said = outcome(make(rgb), "-o", "out.ora")
    assert words in said
    assert bool(said) == bool(words)
    assert not (tmp_path.parent / "owned.png").exists()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["ora", "psd"])
def test_layered_files_cut_short(outcome: Callable[..., str], rgb: np.ndarray, kind: str, share: float) -> None:
    whole = (photoshop if kind == "psd" else zipped)(rgb)
    content = Path(whole).read_bytes()
    Path(whole).write_bytes(content[: int(len(content) * share)])
    said = outcome(whole, "-o", "out.ora")
    # The layers of a Photoshop file come first; what follows them is not needed.
    assert "damaged" in said or (kind == "psd" and share >= 0.7 and not said)


def photoshop(rgb: np.ndarray) -> str:
    document = psd_tools.PSDImage.new("RGB", (128, 128))
    document.create_pixel_layer(Image.fromarray(rgb), name="ground")
    cutout = np.dstack([255 - rgb, np.full_like(rgb[..., 0], 255)])[30:90, 30:90]
    document.create_pixel_layer(Image.fromarray(cutout), name="cup", top=30, left=30)
    document.save("a.psd")
    return "a.psd"


def test_photoshop_files_that_cannot_be_read(outcome: Callable[..., str], rgb: np.ndarray) -> None:
    whole = Path(photoshop(rgb)).read_bytes()
    assert outcome("a.psd", "-o", "new.ora") == ""
    random = np.random.default_rng(0)
    # A file that was encrypted keeps its name, perhaps its first bytes.
    Path("a.psd").write_bytes(whole[:26] + random.bytes(len(whole) - 26))
    assert "damaged" in outcome("a.psd", "-o", "out.ora")
    Path("a.psd").write_bytes(random.bytes(len(whole)))
    assert "unknown file format" in outcome("a.psd", "-o", "out.ora")
    for place, value, words in (
        (14, 4_000_000_000, "too large"),
        (22, 0x20 << 16 | 3, "32 bits"),
        (22, 0x8 << 16 | 4, "RGB"),
    ):
        Path("a.psd").write_bytes(whole[:place] + struct.pack(">I", value) + whole[place + 4 :])
        assert words in outcome("a.psd", "-o", "out.ora")
    document = psd_tools.PSDImage.frompil(Image.fromarray(rgb))
    document.save("a.psd")
    assert "no layers" in outcome("a.psd", "-o", "out.ora")


def test_flipped_bytes_are_survived(
    outcome: Callable[..., str], rgb: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the command; `test_mutations.py` has many more, of every format."""
    random = np.random.default_rng(4)
    for kind in (zipped, photoshop):
        whole = Path(kind(rgb)).read_bytes()
        for _ in range(3):
            content = bytearray(whole)
            for place in random.integers(0, len(content), 4):
                content[place] = random.integers(0, 256)
            Path("bad").write_bytes(content)
            with pytest.raises(SystemExit) as end:
                main(["harmonize", "bad", "-o", "result.ora", "--strength", "0"])
            assert end.value.code in (0, 2)
            assert capfd.readouterr().err.count("\n") <= 1
    assert "does not exist" in outcome("missing.ora", "-o", "out.ora")


def test_a_layer_is_only_chosen_where_there_are_layers(outcome: Callable[..., str], rgb: np.ndarray) -> None:
    saved("a.png", rgb)
    assert "applies only to layered files" in outcome("a.png", "mask.png", "-o", "out.png", "--layer", "cup")
    assert "needs a mask" in outcome("a.png", "-o", "out.png", "--layer", "cup")
    assert "needs a mask" in outcome("a.png", "-o", "out.ora")
    assert "suffix" in outcome("a.png", "mask.png", "-o", "new.ora")
    zipped(rgb)
    assert "layered file" in outcome("a.ora", "mask.png", "-o", "out.png")
    assert "one of the inputs" in outcome("a.ora", "-o", "a.ora")
    assert "--at and --scale do not apply" in outcome("a.ora", "-o", "out.png", "--at", "1,1")
