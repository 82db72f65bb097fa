"""The command as a newcomer uses it: right files, wrong files, and what it says."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from gknet import Harmonizer
from gknet.cli import demo
from gknet.files.codecs import raster
from tests.light_start import run_lines
from tests.preloaded import CLOSED, Process

pytestmark = pytest.mark.integration

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def files(tmp_path: Path, photograph: np.ndarray, object_mask: np.ndarray) -> Path:
    """A folder with `picture.png` and `mask.png`."""
    Image.fromarray(photograph).save(tmp_path / "picture.png")
    Image.fromarray(object_mask).save(tmp_path / "mask.png")
    return tmp_path


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit code 2 and one line that says what is wrong; no traceback, nothing on standard output."""
    code, out, err = result
    assert (code, out) == (2, ""), result
    assert err.startswith("gknet: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_composite_and_its_mask_are_harmonized(
    run: Run, files: Path, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    composite = (photograph * (1 - object_mask[..., None] / 510)).astype(np.uint8)  # half of the object's light
    Image.fromarray(composite).save(files / "picture.png")
    code, out, err = run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--show")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["Wrote out.png", "Wrote out-before-after.png"]
    result = np.asarray(Image.open(files / "out.png"))
    outside = np.asarray(Image.open(files / "mask.png")) == 0
    assert np.array_equal(result[outside], composite[outside])
    assert result.mean() > composite.mean() + 1
    with Image.open(files / "out-before-after.png") as beside:
        assert beside.width > 2 * 512


def test_a_cutout_is_placed_scaled_and_harmonized(
    run: Run, files: Path, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    Image.fromarray(np.dstack([photograph, object_mask])).save(files / "cutout.png")
    base = ("harmonize", "--foreground", "cutout.png", "--background", "picture.png", "-o", "out.png")
    assert run(*base, "--at", "-50,200", "--scale", "0.5")[0] == 0
    result = np.asarray(Image.open(files / "out.png"))
    assert result.shape == photograph.shape
    changed = np.flatnonzero((result != photograph).any(axis=(1, 2)))
    assert 200 <= changed[0] < changed[-1] < 200 + 256
    half = np.asarray(Image.fromarray(object_mask).resize((256, 256), Image.Resampling.BOX))
    untouched = np.ones(photograph.shape[:2], bool)
    untouched[200:456, : 256 - 50] = half[:, 50:] < 1
    # The resampling filter rings a little beyond the mask's edge.
    assert (result[untouched] == photograph[untouched]).mean() > 0.99


def test_a_cutout_with_clean_edges_is_harmonized(
    run: Run, files: Path, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    Image.fromarray(np.dstack([photograph, object_mask])).save(files / "cutout.png")
    base = ("harmonize", "--foreground", "cutout.png", "--background", "picture.png", "--at", "30,40", "--show")
    for name, option in (("dirty", ()), ("clean", ("--clean-edges",))):
        assert run(*base, *option, "-o", f"{name}.png")[0] == 0
    dirty, clean = (np.asarray(Image.open(files / f"{name}.png")) for name in ("dirty", "clean"))
    soft = np.zeros(photograph.shape[:2], bool)
    soft[40:, 30:] = ((object_mask > 0) & (object_mask < 255))[:-40, :-30]
    assert not np.array_equal(dirty[soft], clean[soft])
    # Elsewhere only the fit differs, which looks at the edge, too.
    assert np.abs(dirty.astype(int) - clean)[~soft].max() <= 4
    before = [np.asarray(Image.open(files / f"{name}-before-after.png"))[:, :512] for name in ("dirty", "clean")]
    assert np.array_equal(*before)


def test_a_finished_composite_has_no_edge_to_clean(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--clean-edges"), "mixed", "--foreground")
    monkeypatch.setitem(sys.modules, "pymatting", None)
    cutout = ("harmonize", "--foreground", "none.png", "--background", "picture.png", "-o", "out.png")
    refused(run(*cutout, "--clean-edges"), "needs the package PyMatting", "gknet-harmonize[edges]")
    assert not (files / "out.png").exists()


def test_depth_profile_exif_and_orientation_survive(run: Run, files: Path, photograph: np.ndarray) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "somebody"
    Image.fromarray(np.rot90(photograph)).save(files / "turned.jpg", exif=exif, icc_profile=profile, quality=95)
    assert run("harmonize", "turned.jpg", "mask.png", "-o", "out.jpg")[0] == 0
    with Image.open(files / "out.jpg") as result:
        assert (result.getexif()[0x0112], result.getexif()[0x013B]) == (6, "somebody")
        assert result.info["icc_profile"] == profile
        assert result.size == (512, 512)
        stored = np.asarray(result)
    outside = np.rot90(np.asarray(Image.open(files / "mask.png")) == 0)
    assert np.abs(stored[outside].astype(int) - np.rot90(photograph)[outside]).mean() < 4


def test_16_bit_pictures_stay_16_bit(run: Run, files: Path, photograph: np.ndarray) -> None:
    import pyvips

    deep = photograph.astype(np.uint16) * np.uint16(257) ^ np.uint16(0x5A)
    pyvips.Image.new_from_array(deep, interpretation="rgb16").write_to_file(str(files / "deep.png"))
    assert run("harmonize", "deep.png", "mask.png", "-o", "out.png")[0] == 0
    result = pyvips.Image.new_from_file(str(files / "out.png")).numpy()
    assert result.dtype == np.uint16
    outside = np.asarray(Image.open(files / "mask.png")) == 0
    assert np.array_equal(result[outside], deep[outside])


def test_an_inverted_mask_harmonizes_the_other_part(run: Run, files: Path, photograph: np.ndarray) -> None:
    mask = 255 - np.asarray(Image.open(files / "mask.png"))
    Image.fromarray(mask).save(files / "inverted.png")
    assert run("harmonize", "picture.png", "inverted.png", "-o", "out.png")[0] == 0
    result = np.asarray(Image.open(files / "out.png"))
    assert np.array_equal(result[mask == 0], photograph[mask == 0])


def test_a_palette_picture_becomes_rgb(run: Run, files: Path, photograph: np.ndarray) -> None:
    Image.fromarray(photograph).quantize(64).save(files / "palette.png")
    assert run("harmonize", "palette.png", "mask.png", "-o", "out.png")[0] == 0
    with Image.open(files / "out.png") as result:
        assert result.mode == "RGB"


@pytest.mark.parametrize("shape", [(3, 8000), (8000, 3)])
def test_a_very_long_picture_works(run: Run, tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2 + 1, : shape[1] // 2 + 1] = 255
    Image.fromarray(picture).save(tmp_path / "long.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert run("harmonize", "long.png", "mask.png", "-o", "out.png")[0] == 0
    result = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(result[mask == 0], picture[mask == 0])


def test_masks_that_cannot_be_right_are_refused(run: Run, files: Path) -> None:
    for name, level, word in (("black", 0, "completely black"), ("white", 255, "same value")):
        Image.new("L", (512, 512), level).save(files / f"{name}.png")
        refused(run("harmonize", "picture.png", f"{name}.png", "-o", "out.png"), word, "Paint")
    Image.new("L", (100, 200), 255).save(files / "small.png")
    refused(run("harmonize", "picture.png", "small.png", "-o", "out.png"), "100x200", "512x512")
    Image.new("RGB", (1, 1)).save(files / "one.png")
    refused(run("harmonize", "one.png", "one.png", "-o", "out.png"), "completely black")
    assert not (files / "out.png").exists()


def test_files_that_are_no_pictures_are_refused(run: Run, files: Path, photograph: np.ndarray) -> None:
    Image.fromarray(photograph).save(files / "whole.jpg", quality=95)
    (files / "cut.jpg").write_bytes((files / "whole.jpg").read_bytes()[:20_000])
    (files / "words.png").write_text("not a picture at all", encoding="utf-8")
    (files / "empty.png").write_bytes(b"")
    Image.fromarray(photograph).convert("CMYK").save(files / "cmyk.jpg")
    (files / "out.png").write_bytes(b"precious")
    for name, word in (
        ("cut.jpg", "incomplete"),
        ("words.png", "unknown file format"),
        ("empty.png", "empty"),
        ("cmyk.jpg", "CMYK"),
        ("missing.png", "does not exist"),
        (".", "folder"),
    ):
        refused(run("harmonize", name, "mask.png", "-o", "out.png"), word)
        refused(run("harmonize", "picture.png", name, "-o", "out.png"), word)
    assert (files / "out.png").read_bytes() == b"precious"


def test_outputs_that_cannot_be_written_are_refused(run: Run, files: Path) -> None:
    refused(run("harmonize", "picture.png", "mask.png", "-o", "nowhere/out.png"), "does not exist")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out.doc"), ".doc")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out"), "suffix")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "picture.png"), "one of the inputs")
    (files / "link.png").symlink_to("picture.png")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "link.png"), "one of the inputs")
    (files / "link.png").unlink()
    refused(run("harmonize", "picture.png", "mask.png", "-o", f"{'x' * 300}.png"), "cannot be written")
    refused(run("harmonize", f"{'x' * 300}.png", "mask.png", "-o", "out.png"), "cannot be opened")
    refused(run("demo", "-o", "nowhere/demo.png"), "does not exist")
    if os.geteuid():  # root may write anywhere
        (files / "locked").mkdir(mode=0o500)
        refused(run("harmonize", "picture.png", "mask.png", "-o", "locked/out.png"), "cannot be written")
    assert sorted(path.name for path in files.glob("*.p*")) == ["mask.png", "picture.png"]


def test_commands_that_are_not_clear_are_refused(run: Run, files: Path) -> None:
    del files
    refused(run("harmonize", "-o", "out.png"), "do not form a scene", "--foreground")
    refused(run("harmonize", "picture.png", "-o", "out.png"), "needs a mask")
    refused(run("harmonize", "picture.png", "mask.png"), "--output")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--strenght", "1"), "--strenght")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--strength", "2"), "strength")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--model", "gknet-xl"), "gknet-s")
    refused(run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--device", "abacus"), "not available")
    layers = ("harmonize", "--foreground", "picture.png", "--background", "picture.png", "-o", "out.png")
    refused(run(*layers), "no alpha channel")
    refused(run(*layers, "--at", "left"), "--at 420,310")
    refused(
        run("harmonize", "picture.png", "mask.png", "-o", "out.png", "--at", "1,1"), "--at and --scale do not apply"
    )
    Image.new("RGBA", (64, 64), (9, 9, 9, 99)).save("cutout.png")
    layers = ("harmonize", "--foreground", "cutout.png", "--background", "picture.png", "-o", "out.png")
    for scale in ("inf", "nan", "0", "1e9"):
        refused(run(*layers, "--scale", scale), "scale")


def test_the_side_by_side_picture_never_replaces_an_input(run: Run, files: Path) -> None:
    (files / "picture.png").rename(files / "out-before-after.png")
    before = (files / "out-before-after.png").read_bytes()
    refused(run("harmonize", "out-before-after.png", "mask.png", "-o", "out.png", "--show"), "one of the inputs")
    assert (files / "out-before-after.png").read_bytes() == before
    (files / "new-before-after.png").mkdir()
    refused(run("harmonize", "out-before-after.png", "mask.png", "-o", "new.png", "--show"), "is a folder")
    assert not (files / "new.png").exists()


def test_a_reader_that_goes_away_does_not_spoil_the_result(files: Path) -> None:
    process = Process(["harmonize", "picture.png", "mask.png", "-o", "out.png"], cwd=files)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert (files / "out.png").exists()


def test_an_unknown_model_has_no_info(run: Run) -> None:
    refused(run("info", "--model", "gknet-xl"), "gknet-xl")


def test_demo_shows_a_change_that_nobody_can_miss(shipped: Harmonizer) -> None:
    pasted, harmonized = demo.harmonize_astronaut(shipped, lambda *_: None).values()
    change = harmonized.astype(int) - pasted
    assert change[np.abs(change).max(axis=2) > 0].mean() > 20


def test_demo_writes_a_before_and_after_picture(run: Run, tmp_path: Path) -> None:
    code, out, err = run("demo")
    assert (code, err) == (0, "")
    assert out == f"Wrote {tmp_path / 'gknet-demo.png'}\n"
    with Image.open(tmp_path / "gknet-demo.png") as picture:
        assert picture.width > picture.height > 300


def test_help_and_version_load_nothing_heavy() -> None:
    lines = ["--help", "harmonize --help", "inspect --help", "batch --help", "--version"]
    run_lines("gknet.cli.app", lines, "torch numpy pyvips PIL matplotlib")


def test_a_compressed_picture_is_compressed_again_only_with_a_note(
    run: Run, files: Path, photograph: np.ndarray
) -> None:
    for suffix in (".jpg", ".webp", ".avif"):
        Image.fromarray(photograph[:256, :256]).save(files / f"a{suffix}")
    Image.fromarray(np.asarray(Image.open(files / "mask.png"))[:256, :256]).save(files / "mask.png")
    Image.fromarray(photograph[:256, :256]).save(files / "picture.png")
    for name in ("a.jpg", "a.webp", "a.avif"):
        code, _, err = run("harmonize", name, "mask.png", "-o", "out.jpg")
        assert (code, err.count("\n")) == (0, 1)
        assert "JPEG compresses the whole picture again" in err
    assert run("harmonize", "picture.png", "mask.png", "-o", "out.jpg")[2] == ""
    assert run("harmonize", "a.webp", "mask.png", "-o", "out.webp")[2] == ""
    outside = np.asarray(Image.open(files / "mask.png")) == 0
    before, after = (np.asarray(Image.open(files / name).convert("RGB")) for name in ("a.webp", "out.webp"))
    assert np.array_equal(before[outside], after[outside])


HARMONIZE = ["harmonize", "picture.png", "mask.png", "-o", "out.png", "--network-size", "64"]


def check_result(folder: Path) -> None:
    with Image.open(folder / "out.png") as picture:
        picture.load()


def test_closed_streams_do_not_spoil_the_result(files: Path) -> None:
    """In a new Python, which opens its own files without the standard streams."""
    command = shlex.join([sys.executable, "-m", "gknet.cli.app", *HARMONIZE])
    done = subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], cwd=files, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check_result(files)


@pytest.mark.parametrize("streams", ["stdout closed", "stderr closed", "stdout full", "stderr full"])
def test_streams_that_cannot_be_written_do_not_spoil_the_result(files: Path, streams: str) -> None:
    name, state = streams.split()
    with Path("/dev/full").open("w") as full:
        process = Process(HARMONIZE, cwd=files, **{name: CLOSED if state == "closed" else full})
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    check_result(files)


def test_what_is_asked_for_but_cannot_be_told_is_an_error(files: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = Process(["--version"], cwd=files, stdout=full)
    out, err = process.communicate(timeout=60)
    assert process.returncode is not None
    refused((process.returncode, out, err), "Standard output cannot be written: No space left")


@pytest.mark.parametrize(
    ("name", "word"), [("a.ora", "with layers"), ("a.heic", "only be read"), ("a.psd", "only be read")]
)
def test_why_a_suffix_cannot_be_written_is_said(run: Run, files: Path, name: str, word: str) -> None:
    del files
    refused(run("harmonize", "picture.png", "mask.png", "-o", name), name, word, ".tif")


def write_without_end() -> None:
    """Make the writing of a picture begin anew whenever it has ended."""
    save = raster.save

    def repeat(path: Path, *arguments: Any) -> None:
        while True:
            save(path, *arguments)

    mock.patch.object(raster, "save", repeat).start()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "gknet: Cancelled.\n"), (signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, "")],
)
def test_interrupting_leaves_nothing_behind(files: Path, number: int, code: int, word: str) -> None:
    process = Process(HARMONIZE, cwd=files, before=write_without_end)
    deadline = time.monotonic() + 60
    while not list(files.glob(".gknet-*")):  # the output under its temporary name
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", word)
    assert process.returncode == code
    assert sorted(path.name for path in files.iterdir()) == ["mask.png", "picture.png"]


def test_all_versions_are_written_with_a_sheet_or_one_is_chosen(run: Run, files: Path) -> None:
    composite = ("harmonize", "picture.png", "mask.png", "-o", "out.png")
    code, out, err = run(*composite, "--variants")
    names = [f"out-{number}.png" for number in range(1, 6)]
    assert (code, out.splitlines(), err) == (0, [f"Wrote {name}" for name in [*names, "out-versions.png"]], "")
    assert (
        run(*composite)[0] == run("harmonize", "picture.png", "mask.png", "-o", "third.png", "--variant", "3")[0] == 0
    )
    versions = [np.asarray(Image.open(files / name)) for name in names]
    assert np.array_equal(np.asarray(Image.open(files / "out.png")), versions[0])
    assert np.array_equal(np.asarray(Image.open(files / "third.png")), versions[2])
    outside = np.asarray(Image.open(files / "mask.png")) == 0
    for version in versions[1:]:
        assert np.array_equal(version[outside], versions[0][outside])
        assert np.abs(version[~outside].astype(int) - versions[0][~outside]).mean() > 4
    with Image.open(files / "out-versions.png") as sheet:
        assert sheet.width > 3 * 512
        assert sheet.height > 2 * 512


def test_notes_are_written_once_and_old_versions_named(run: Run, files: Path) -> None:
    Image.open(files / "picture.png").save(files / "picture.jpg")
    code, out, err = run("harmonize", "picture.jpg", "mask.png", "-o", "out.jpg", "--variants")
    assert (code, out.count("Wrote")) == (0, 6)
    assert err.count("JPEG compresses") == 1
    Image.fromarray(np.zeros((512, 512, 3), np.uint8)).save(files / "black.png")  # looks the same in every version
    code, out, err = run("harmonize", "black.png", "mask.png", "-o", "out.jpg", "--variants")
    written = out.count("Wrote") - 1
    assert code == 0
    assert written < 5
    assert [f"out-{number}.jpg" in err for number in range(1, 6)] == [number > written for number in range(1, 6)]


def test_a_choice_of_versions_that_cannot_be_made_is_refused(run: Run, files: Path) -> None:
    composite = ("harmonize", "picture.png", "mask.png", "-o", "out.png")
    refused(run(*composite, "--variant", "6"), "variant 6", "between 1 and 5")
    refused(run(*composite, "--variants", "--variant", "1"), "--variant does not go with --variants")
    refused(run(*composite, "--variants", "--show"), "--show does not go with --variants")
    for option in ("--variant", "--network-size"):
        refused(run(*composite, option, "256.5"), option, "not a whole number")
    for name in ("", "/", "out", ".."):
        refused(run("harmonize", "picture.png", "mask.png", "-o", name, "--variants"), "its name has no suffix")
    (files / "picture.png").rename(files / "out-4.png")
    refused(run("harmonize", "out-4.png", "mask.png", "-o", "out.png", "--variants"), "one of the inputs")
    assert sorted(path.name for path in files.iterdir()) == ["mask.png", "out-4.png"]


def test_trims_change_only_the_object(run: Run, files: Path) -> None:
    assert run("harmonize", "picture.png", "mask.png", "-o", "plain.png")[0] == 0
    assert run("harmonize", "picture.png", "mask.png", "-o", "dark.png", "--brightness", "-80")[0] == 0
    with Image.open(files / "plain.png") as plain, Image.open(files / "dark.png") as dark:
        change = np.asarray(dark).astype(int) - np.asarray(plain)
    with Image.open(files / "mask.png") as mask:
        selected = np.asarray(mask.convert("L"))
    assert change[selected > 127].mean() < -5
    assert not change[selected == 0].any()
    for name in ("brightness", "warmth", "saturation"):
        refused(run("harmonize", "picture.png", "mask.png", "-o", "out.png", f"--{name}", "-101"), name, "between")
