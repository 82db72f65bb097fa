"""Many pictures in one go: what is done, kept, done again, and what is said of the rest."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gknet.batch import workbench
from gknet.batch.folder import find_jobs
from gknet.batch.journal import FOLDER, Journal
from tests.gknet import many, ora

pytestmark = pytest.mark.integration

Run = Callable[..., tuple[int, str, str]]
Shown = tuple[int, str, str]


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    """Four small composites with masks in the folder `in`."""
    (tmp_path / "in").mkdir()
    return many.write(tmp_path / "in", 4, suffix=".png", side=96)


def outputs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != FOLDER)


def times(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in outputs(folder)}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def files_of(report: Path) -> dict[str, dict[str, Any]]:
    return {file["output"]: file for file in json.loads(report.read_text(encoding="utf-8"))["files"]}


def test_every_pair_in_a_folder_is_harmonized(run: Run, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "in" / "notes.txt").write_text("Expected an array of shape", encoding="utf-8")
    assert run("batch", "in", "out") == (0, "Wrote 4 pictures.\n", "")
    assert outputs(tmp_path / "out") == names
    for name in names:
        mask = pixels(tmp_path / "in" / name.replace(".png", "_mask.png"))
        before, after = pixels(tmp_path / "in" / name), pixels(tmp_path / "out" / name)
        assert np.array_equal(before[mask == 0], after[mask == 0])
        assert not np.array_equal(before, after)
        # The network's sums are those of one thread, not of all.
        assert run("harmonize", f"in/{name}", f"in/{name[:-4]}_mask.png", "-o", "alone.png")[0] == 0
        assert np.abs(after.astype(int) - pixels(tmp_path / "alone.png")).max() <= 1


def test_what_is_done_is_kept_even_in_another_place(run: Run, tmp_path: Path, names: list[str]) -> None:
    assert run("batch", "in", "out")[0] == 0
    before = times(tmp_path / "out")
    assert run("batch", "in", "out") == (0, "Wrote 0 pictures, 4 were done before.\n", "")
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    (tmp_path / "out").rename(tmp_path / "there")
    assert run("batch", "elsewhere", "there") == (0, "Wrote 0 pictures, 4 were done before.\n", "")
    assert times(tmp_path / "there") == before
    (tmp_path / "there" / names[2]).unlink()
    assert run("batch", "elsewhere", "there") == (0, "Wrote 1 picture, 3 were done before.\n", "")
    assert outputs(tmp_path / "there") == names


def test_a_bad_file_is_reported_and_the_rest_goes_on(run: Run, tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "in"
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff no more")
    (folder / "damaged_mask.png").write_bytes((folder / "000_mask.png").read_bytes())
    (folder / "no-mask.png").write_bytes((folder / names[0]).read_bytes())
    (folder / "no-picture_mask.png").write_bytes((folder / "000_mask.png").read_bytes())
    Image.fromarray(np.zeros_like(pixels(folder / "001_mask.png"))).save(folder / "001_mask.png")
    code, out, err = run("batch", "in", "out", "--report", "report.json", "--strength", "0.5")
    assert (code, out) == (1, "Wrote 3 pictures, 4 failed.\n")
    assert err.count("\n") == 4
    assert all(line.startswith("gknet: ") for line in err.splitlines())
    assert outputs(tmp_path / "out") == [names[0], *names[2:]]
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["counts"] == {"failed": 4, "written": 3}
    assert (report["settings"]["strength"], report["stopped"]) == (0.5, False)
    assert set(report["versions"]) == {"gknet", "torch", "python"}
    files = files_of(tmp_path / "report.json")
    assert files[names[0]]["state"] == "written"
    assert files[names[0]]["seconds"] > 0
    for name, word, hint in (
        ("damaged.jpg", "damaged", "again"),
        ("no-mask.png", "no mask", "Put no-mask_mask.png beside it."),
        ("no-picture_mask.png", "without a picture", "no-picture.jpg"),
        (names[1], f"{names[1]}: The mask is completely black", "Paint"),
    ):
        assert files[name]["state"] == "failed"
        assert word in files[name]["message"]
        assert hint in files[name]["hint"]


def test_every_suffix_of_a_picture_gets_a_job_and_unreadable_ones_fail(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.MPO", "c.gif", "d.psb", "e.heic", "f.png"):
        (tmp_path / name).touch()
        if not name.startswith("d"):
            (tmp_path / f"{name[0]}_mask.png").touch()
    (tmp_path / "notes.txt").touch()
    jobs = {job.output: job for job in find_jobs(tmp_path)}
    assert list(jobs) == ["a.jpg", "b.jpg", "c.gif", "d.ora", "e.png", "f.png"]
    trouble = jobs.pop("c.gif").trouble
    assert trouble is not None
    assert "c.gif has an unsupported file format" in trouble.message
    assert all(job.trouble is None for job in jobs.values())


def test_a_failure_that_nobody_foresaw_ends_one_picture(
    run: Run, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gknet.scene import CompositeScene

    fit = CompositeScene.fit

    def failing(self: CompositeScene, *arguments: Any) -> Any:
        if np.array_equal(self.before, pixels(tmp_path / "in" / names[1])):
            raise MemoryError("no room")
        return fit(self, *arguments)

    monkeypatch.setattr(CompositeScene, "fit", failing)
    code, out, err = run("batch", "in", "out", "--report", "report.json")
    assert (code, out) == (1, "Wrote 3 pictures, 1 failed.\n")
    assert "MemoryError: no room" in err
    assert "Traceback" in files_of(tmp_path / "report.json")[names[1]]["traceback"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_a_terminal_closed_while_the_network_loads_stops_the_batch(
    run: Run, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = workbench.Harmonizer.from_pretrained
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # even if the tests run under nohup

    def load_and_hang_up(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGHUP)
        return load(*arguments)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(workbench.Harmonizer, "from_pretrained", load_and_hang_up)
            code, out, err = run("batch", "in", "out")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (code, out) == (129, "Wrote 0 pictures, 4 are left.\n")
    assert err == "gknet: Stopped. Finished pictures are kept; run the same command to continue.\n"
    assert outputs(tmp_path / "out") == []
    assert run("batch", "in", "out")[:2] == (0, "Wrote 4 pictures.\n")
    assert outputs(tmp_path / "out") == names


def test_changed_files_and_settings_are_noticed(run: Run, tmp_path: Path, names: list[str]) -> None:
    assert run("batch", "in", "out")[0] == 0
    first = times(tmp_path / "out")
    (tmp_path / "in" / "002_mask.png").write_bytes((tmp_path / "in" / "000_mask.png").read_bytes())
    Image.fromarray(pixels(tmp_path / "in" / names[0])).save(tmp_path / "in" / names[2])
    code, out, err = run("batch", "in", "out")
    assert (code, out) == (0, "Wrote 1 picture, 3 were done before.\n")
    assert err == "gknet: 1 picture is harmonized again: its files have changed.\n"
    changed = times(tmp_path / "out")
    assert [name for name in names if changed[name] != first[name]] == [names[2]]
    code, out, err = run("batch", "in", "out", "--strength", "0.5")
    assert (code, out) == (0, "Wrote 4 pictures.\n")
    assert err == "gknet: 4 pictures are harmonized again: the settings have changed.\n"
    assert run("batch", "in", "out", "--strength", "0.5")[1] == "Wrote 0 pictures, 4 were done before.\n"


def test_what_somebody_else_wrote_is_never_replaced(run: Run, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / names[0]).write_bytes(b"somebody's own")
    code, out, err = run("batch", "in", "out")
    assert (code, out) == (1, "Wrote 3 pictures, 1 failed.\n")
    assert "not written by gknet batch" in err
    retouched = tmp_path / "out" / names[1]
    Image.fromarray(255 - pixels(retouched)).save(retouched)
    kept = retouched.read_bytes()
    assert run("batch", "in", "out", "--strength", "0.5")[:2] == (1, "Wrote 2 pictures, 2 failed.\n")
    assert retouched.read_bytes() == kept
    assert (tmp_path / "out" / names[0]).read_bytes() == b"somebody's own"


def test_what_a_kill_leaves_is_cleared_away(run: Run, tmp_path: Path, names: list[str]) -> None:
    assert run("batch", "in", "out")[0] == 0
    before = times(tmp_path / "out")
    home = tmp_path / "out" / FOLDER
    (home / "unfinished").mkdir()
    (home / "unfinished" / "0123.png").write_bytes(b"half")
    # Killed between the line and the name: the line speaks of a file that never came, over one that is still there.
    line = json.loads((home / "journal.jsonl").read_text(encoding="utf-8").splitlines()[0])
    line["settings"]["strength"] = 0.25
    line["output"]["size"] += 1
    with (home / "journal.jsonl").open("a", encoding="utf-8") as journal:
        journal.write(json.dumps(line) + '\n{"name": "cut')
    assert run("batch", "in", "out") == (0, "Wrote 0 pictures, 4 were done before.\n", "")
    assert times(tmp_path / "out") == before
    assert sorted(path.name for path in home.iterdir()) == ["journal.jsonl", "lock"]
    (tmp_path / "out" / names[3]).unlink()
    assert run("batch", "in", "out")[1] == "Wrote 1 picture, 3 were done before.\n"
    assert run("batch", "in", "out")[1] == "Wrote 0 pictures, 4 were done before.\n"


def refused(shown: Shown, *words: str) -> None:
    code, out, err = shown
    assert (code, out, err.count("\n")) == (2, "", 1), shown
    for word in words:
        assert word in err


def test_two_batches_into_one_folder_are_one_too_many(run: Run, tmp_path: Path, names: list[str]) -> None:
    with Journal.open(tmp_path / "out"):
        refused(run("batch", "in", "out"), "Another gknet batch is writing into out.", "choose another folder")
    assert run("batch", "in", "out")[0] == 0
    assert outputs(tmp_path / "out") == names


def test_a_batch_that_cannot_be_right_is_refused_before_any_work(run: Run, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    refused(run("batch", "empty", "out"), "no pictures to harmonize", "name_mask.png")
    refused(run("batch", "nowhere", "out"), "neither a folder nor a CSV file")
    refused(run("batch", "in", "in"), "one of the inputs")
    refused(run("batch", "in", "out", "--strength", "2"), "strength")
    refused(run("batch", "in", "out", "--network-size", "9"), "network size")
    refused(run("batch", "in", "out", "--model", "gknet-xl"), "gknet-s")
    refused(run("batch", "in", "out", "--device", "abacus"), "abacus")
    refused(run("batch", "in", "out", "--clean-edges"), "mixed", "--clean-edges")
    refused(run("batch", "in", "out", "--report", "nowhere/report.json"), "does not exist")
    refused(run("batch", "in", "out", "--report", f"in/{names[0]}"), "one of the pictures")
    (tmp_path / "in" / "000.avif").write_bytes(b"")
    refused(run("batch", "in", "out"), "000.avif and 000.png", "another name")
    (tmp_path / "in" / "000.avif").unlink()
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_bytes(b"")
    refused(run("batch", "in", "file"), "file cannot be written")


def test_files_of_layers_get_one_more_layer(
    run: Run, tmp_path: Path, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    (tmp_path / "in").mkdir()
    inner = '<layer name="cut-out" src="b.png"/><layer name="photo" src="a.png"/>'
    rooms = {"a.png": ora.png(photograph), "b.png": ora.png(np.dstack([photograph[::-1], object_mask]))}
    ora.write(tmp_path / "in" / "picture.ora", ora.stack((512, 512), inner), rooms)
    assert run("batch", "in", "out") == (0, "Wrote 1 picture.\n", "")
    assert b"cut-out (harmonized)" in ora.contents(tmp_path / "out" / "picture.ora")["stack.xml"]
    refused_one = run("batch", "in", "out2", "--layer", "none")
    assert refused_one[0] == 1
    assert "Unknown layer 'none'." in refused_one[2]


def test_pictures_that_fill_the_memory_take_turns(
    run: Run, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbench, "MOST_BYTES", 1)
    assert run("batch", "in", "out") == (0, "Wrote 4 pictures.\n", "")
    assert outputs(tmp_path / "out") == names


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_locked_is_said_to_be_so(run: Run, tmp_path: Path, names: list[str]) -> None:
    del names
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(run("batch", "in", "locked/out"), "cannot be written")


def test_each_step_is_on_the_disk_before_the_next_begins(
    run: Run, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who loses power finds no line without its result's bytes, and no name without its line."""
    done: list[tuple[str, object]] = []
    fsync, replace = os.fsync, os.replace

    def file_of(path: Path | int) -> tuple[int, int]:
        status = os.stat(path)  # noqa: PTH116 - a descriptor, too
        return status.st_dev, status.st_ino

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("synced", file_of(descriptor)))

    def watched_replace(source: Path, target: Path) -> None:
        replace(source, target)
        done.append(("named", Path(target).absolute()))

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    assert run("batch", "in", "out")[0] == 0
    out = tmp_path / "out"
    journal = file_of(out / FOLDER / "journal.jsonl")
    assert {("synced", file_of(out)), ("synced", file_of(out / FOLDER))} <= set(done[:2])
    line, folder = ("synced", journal), ("synced", file_of(out))
    for name in names:
        named = done.index(("named", out / name))
        before = [
            step for step in done[:named] if step == line or (step[0] == "named" and Path(str(step[1])).parent == out)
        ]
        assert before[-1] == line  # written since the last name was given
        written = max(index for index, step in enumerate(done[:named]) if step == line)
        assert ("synced", file_of(out / name)) in done[:written]
        after = [step for step in done[named + 1 :] if step in (line, folder)]
        assert after[0] == folder
