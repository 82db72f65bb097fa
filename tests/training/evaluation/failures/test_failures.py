"""The gallery of failures, through the real command."""

from __future__ import annotations

import csv
import re
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from gknet import Harmonizer
from gknet.network import weights
from tests.training.calling import call_command
from tests.training.interrupting import press_ctrl_c_in
from tests.training.two_kinds import TWO_KINDS, leave_two_kinds
from training.data.judging_sets.validation import open_pool
from training.data.shards import is_validation
from training.evaluation.cases import evaluate_samples
from training.evaluation.failures import __main__ as command
from training.evaluation.failures.kinds import CASES, DOUBTS, FAILURES
from training.evaluation.failures.sheet import SIDE, Tile, write_sheet

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


def run(*arguments: str | Path) -> str:
    """What the command prints; it must have succeeded."""
    done = call_command(command.main, *arguments, "--device", "cpu")
    assert done.code == 0, done.err
    return done.out


@pytest.fixture(scope="module")
def gallery(pool: Path, quick_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The command's folder, of the five worst and two pasted objects, and what it printed."""
    folder = tmp_path_factory.mktemp("gallery") / "new"
    given = ["--pool", pool, "--weights", quick_weights, "-o", folder]
    with leave_two_kinds():
        return folder, run(*given, "--worst", "5", "--pasted", "2")


def lines(gallery: tuple[Path, str]) -> list[dict[str, str]]:
    with (gallery[0] / "failures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_worst_come_first_and_parts_add_up(gallery: tuple[Path, str]) -> None:
    found = lines(gallery)
    composites = [line for line in found if line["set"] != "pasted"]
    assert [line["set"] for line in composites] == ["worst"] * 5 + ["other"] * (len(composites) - 5)
    left = [float(line["fmse_after"]) for line in composites]
    assert left[:5] == sorted(left[:5], reverse=True)
    assert min(left[:5]) >= max(left[5:])
    for line in composites:
        parts = sum(float(line[name]) for name in line if name.startswith("part_"))
        assert parts == pytest.approx(float(line["fmse_after"]), abs=1e-4)
    pasted = [line for line in found if line["set"] == "pasted"]
    assert len(pasted) == 2
    for line in pasted:
        assert line["fmse_after"] == line["needed_shift"] == ""
    # The network may find that an object fits already, and leave it to the bit.
    assert max(float(line["change_size"]) for line in pasted) > 0


@pytest.mark.usefixtures("two_kinds")
def test_every_composite_is_measured_once_and_as_an_evaluation_does(
    gallery: tuple[Path, str], pool: Path, quick_weights: Path
) -> None:
    samples = list(open_pool(pool)[1])
    left = {
        (line["key"], line["recolouring"]): float(line["fmse_after"])
        for line in lines(gallery)
        if line["set"] != "pasted"
    }
    assert sorted(left) == sorted((sample.key, sample.kind) for sample in samples)
    for record in evaluate_samples(Harmonizer(weights.load(quick_weights), "cpu"), samples[::4]):
        # A pixel may round the other way from run to run.
        assert left[record.key, record.kind] == pytest.approx(record.after.fmse, rel=1e-5)


def test_the_tables_count_what_the_lines_say(gallery: tuple[Path, str]) -> None:
    folder, printed = gallery
    assert (folder / "failures.md").read_text(encoding="utf-8") == printed.removesuffix("\n")
    found = lines(gallery)
    composites = [line for line in found if line["set"] != "pasted"]
    total = sum(float(line["fmse_after"]) for line in composites)
    first, _, third = re.split(r"^\*\*(?:Parts of the remaining fMSE|Pasted objects)", printed, flags=re.MULTILINE)
    for kind in [*FAILURES, *CASES]:
        having = [line for line in composites if kind in line["kinds"].split("; ")]
        worst = sum(line["set"] == "worst" for line in having)
        held = sum(float(line["fmse_after"]) for line in having) / total
        (row,) = [row for row in first.splitlines() if row.startswith(f"| {kind} |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == f"{worst} ({100 * worst / 5:.1f} %)"
        assert cells[2].startswith(f"{len(having)} (")
        assert cells[4] == f"{100 * held:.1f} %"
    for kind in [*DOUBTS, *CASES]:
        having = [line for line in found if line["set"] == "pasted" and kind in line["kinds"].split("; ")]
        assert f"| {kind} | {len(having)} (" in third
    for recolouring in TWO_KINDS:
        assert f"| `{recolouring}` |" in first


def test_the_sheets_hold_a_tile_a_case(gallery: tuple[Path, str]) -> None:
    with Image.open(gallery[0] / "worst.jpg") as worst, Image.open(gallery[0] / "pasted.jpg") as pasted:
        assert worst.width > 2 * 3 * SIDE
        assert 3 * SIDE < worst.height < 3 * (SIDE + 150)
        assert pasted.width > 2 * 2 * SIDE
        assert SIDE < pasted.height < SIDE + 150


def test_the_mask_is_outlined_on_the_first_picture_alone(tmp_path: Path) -> None:
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[60:160, 60:160] = True
    write_sheet(tmp_path / "sheet.jpg", [Tile(["a case"], mask, {"first": grey, "second": grey})])
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        shown = np.asarray(sheet.convert("L")).astype(int)
    first, second = shown[40 : SIDE + 30, 14 : 14 + SIDE], shown[50 : SIDE + 20, 25 + SIDE : 2 * SIDE + 10]
    assert first.max() > 230
    assert first.min() < 30
    assert np.ptp(second) < 10
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.jpg"]


@pytest.mark.usefixtures("two_kinds")
def test_only_wanted_sources_are_shown_though_all_are_measured(
    small_pool: Path, quick_weights: Path, tmp_path: Path
) -> None:
    """In a pool where one photograph has another source's name."""
    other = tmp_path / "pool"
    other.mkdir()
    name = next(name for number in range(10_000) if is_validation(name := f"other_{number}"))
    with tarfile.open(small_pool / "pool-000.tar") as archive, tarfile.open(other / "pool-000.tar", "w") as copy:
        first = next(key for member in archive if is_validation(key := member.name.split(".")[0]))
        for member in archive.getmembers():
            content = archive.extractfile(member)
            member.name = member.name.replace(f"{first}.", f"{name}.")
            copy.addfile(member, content)
    given = ["--pool", other, "--weights", quick_weights, "-o", tmp_path]
    run(*given, "--worst", "9", "--source", "other")
    found = lines((tmp_path, ""))
    worst = [line for line in found if line["set"] == "worst"]
    assert {line["key"] for line in worst} == {name}
    assert len(worst) == sum(line["key"] == name for line in found)
    assert len({line["key"] for line in found}) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--pool", "nowhere", "-o", "out"], "nowhere contains no .tar shards"),
        (["--pool", "POOL", "-o", "out", "--weights", "README.md"], "README.md"),
        (["--pool", "POOL", "-o", "file"], "file"),
        (["--pool", "POOL", "-o", "out", "--source", "fre"], "comes from fre. Use the part of a key before"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    arguments: list[str],
    told: str,
    pool: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file", "README.md"):
        Path(name).write_text("no folder, no weights", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["failures", *(str(pool) if word == "POOL" else word for word in arguments)])
    assert command.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("failures: ")
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("number", ["0", "-1", "few"])
def test_less_than_one_case_cannot_be_shown(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["failures", "--pool", ".", "-o", "out", "--worst", number])
    with pytest.raises(SystemExit, match="2"):
        command.main()


@pytest.mark.parametrize(("module", "name"), [(weights, "load"), (command, "harmonize_samples")])
def test_ctrl_c_ends_with_one_line_and_leaves_nothing(
    module: ModuleType,
    name: str,
    small_pool: Path,
    quick_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    press_ctrl_c_in(monkeypatch, module, name)
    given = ["--pool", small_pool, "--weights", quick_weights, "-o", tmp_path / "gallery"]
    done = call_command(command.main, *given)
    assert (done.code, done.err) == (130, "failures: stopped\n")
    assert list((tmp_path / "gallery").iterdir()) == []
