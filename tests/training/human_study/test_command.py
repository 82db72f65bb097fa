"""The real command: its report, its help, and one clear line for each kind of bad input."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.training.calling import call_command
from tests.training.running_study import RunningStudy, arguments
from training.human_study.__main__ import main
from training.human_study.study import Study
from training.human_study.votes import Vote, VoteFile

pytestmark = pytest.mark.integration


def test_the_report_is_a_row_a_method_best_first(study_folders: list[Path], votes: Path) -> None:
    """Voters who always choose the stronger harmonization, but for one picture."""
    study = Study(study_folders, study_folders[-1])
    order = {"strong": 2, "mild": 1, "as_pasted": 0}
    with VoteFile(votes, study) as file:
        for voter in ("anna", "ben", "carl"):
            for trial in study.draw_trials(voter):
                better = order[trial.left] > order[trial.right]
                if trial.picture == "cup" and voter == "carl":
                    better = not better
                file.append(Vote(voter, trial, "left" if better else "right"))
    with votes.open("ab") as torn:
        torn.write(b'{"study": "torn')
    done = call_command(main, *arguments(study_folders, votes), "--report")
    assert done.code == 0, done.err
    assert done.err.splitlines()[0] == f"human_study: The last line of {votes} was cut off by a crash and is ignored."
    assert "27 votes, 3 voters, 3 pictures" in done.out
    rows = re.findall(
        r"^│ (\w+) +│ +([+-][\d.]+) │ +([+-][\d.]+) to ([+-][\d.]+) │ +(\d+) │ +([\d.]+) % │$", done.out, re.M
    )
    assert [row[0] for row in rows] == ["strong", "mild", "as_pasted"]
    assert [row[4] for row in rows] == ["18", "18", "18"]
    assert [row[5] for row in rows] == ["88.9", "50.0", "11.1"]
    scores = [float(row[1]) for row in rows]
    assert sum(scores) == pytest.approx(0, abs=0.002)
    assert all(float(low) <= float(score) <= float(high) for _, score, low, high, *_ in rows)
    papers = re.findall(r"^│ paper: (\S+) \[1\] +│ +([\d.]+) │", done.out, re.M)
    assert papers == [
        ("GKNet", "1.944"),
        ("iDIH-HRNet", "1.532"),
        ("RainNet", "0.972"),
        ("DoveNet", "0.686"),
        ("Composite", "0.416"),
    ]
    assert votes.read_bytes().endswith(b"torn")  # a report changes nothing


Change = Callable[[list[Path], Path], list[str]]


def one_folder(folders: list[Path], votes: Path) -> list[str]:
    return [str(folders[0]), "--composites", str(folders[2]), "--votes", str(votes)]


def folder_twice(folders: list[Path], votes: Path) -> list[str]:
    return arguments([folders[0], folders[1], folders[0] / ".." / "mild", folders[2]], votes)


def missing_picture(folders: list[Path], votes: Path) -> list[str]:
    (folders[1] / "cup.png").unlink()
    return arguments(folders, votes)


def picture_too_many(folders: list[Path], votes: Path) -> list[str]:
    shutil.copy(folders[1] / "cup.png", folders[1] / "extra.png")
    return arguments(folders, votes)


def same_name_twice(folders: list[Path], votes: Path) -> list[str]:
    shutil.copy(folders[1] / "cup.png", folders[1] / "cup.jpg")
    return arguments(folders, votes)


def unreadable(folders: list[Path], votes: Path) -> list[str]:
    whole = (folders[0] / "rocket.png").read_bytes()
    (folders[0] / "rocket.png").write_bytes(whole[: len(whole) // 2])
    return arguments(folders, votes)


def other_size(folders: list[Path], votes: Path) -> list[str]:
    Image.new("RGB", (64, 48)).save(folders[0] / "rocket.png")
    return arguments(folders, votes)


def empty_folder(folders: list[Path], votes: Path) -> list[str]:
    for path in folders[0].iterdir():
        path.rename(path.with_suffix(".txt"))
    return arguments(folders, votes)


def no_folder(folders: list[Path], votes: Path) -> list[str]:
    return arguments([folders[0] / "nowhere", *folders[1:]], votes)


def other_study(folders: list[Path], votes: Path) -> list[str]:
    study = Study(folders[1:], folders[2])
    with VoteFile(votes, study) as file:
        file.append(Vote("anna", study.draw_trials("anna")[0], "left"))
    return arguments(folders, votes)


def votes_in_a_folder(folders: list[Path], votes: Path) -> list[str]:
    votes.mkdir()
    return arguments(folders, votes)


def nobody_voted(folders: list[Path], votes: Path) -> list[str]:
    return [*arguments(folders, votes), "--report"]


def never_compared(folders: list[Path], votes: Path) -> list[str]:
    study = Study(folders, folders[-1])
    with VoteFile(votes, study) as file:
        for trial in study.draw_trials("anna"):
            if "strong" not in trial:
                file.append(Vote("anna", trial, "left"))
    return [*arguments(folders, votes), "--report"]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (one_folder, "Only one folder of results was given. Provide two or more"),
        (folder_twice, r"mild was given twice\."),
        (missing_picture, r"strong is missing cup\.png from .*as_pasted\."),
        (picture_too_many, r"as_pasted is missing extra\.png from .*strong\."),
        (same_name_twice, r"cup\.png has the same name as cup\.jpg\."),
        (unreadable, r"mild/rocket\.png cannot be read: "),
        (other_size, r"mild/rocket\.png is 64x48 pixels, .*as_pasted/rocket\.png 640x427\."),
        (empty_folder, r"mild contains no pictures\. Supported formats: \.jpg, \.jpeg, \.png, \.webp\."),
        (no_folder, r"Folder .*nowhere does not exist\."),
        (other_study, r"votes\.jsonl contains votes of another study\."),
        (votes_in_a_folder, r"Is a directory: .*votes\.jsonl"),
        (nobody_voted, r"No votes have been recorded yet\."),
        (never_compared, r"Never compared with one another: as_pasted, mild; strong\."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_is_one_clear_line(bad: Change, told: str, study_folders: list[Path], votes: Path) -> None:
    done = call_command(main, *bad(study_folders, votes), "--port", "0")
    assert done.code == 2, done.out
    assert done.out == ""
    assert re.fullmatch(rf"human_study: .*{told}.*\n", done.err), done.err


def test_a_port_that_is_taken_is_told(study_folders: list[Path], tmp_path: Path, votes: Path) -> None:
    with RunningStudy(study_folders, votes) as study:
        done = call_command(main, *arguments(study_folders, tmp_path / "others.jsonl"), "--port", str(study.port))
    assert done.code == 2
    assert done.err == f"human_study: Port {study.port} is taken. Choose another port with --port.\n"


def test_a_votes_file_in_use_is_told(study_folders: list[Path], votes: Path) -> None:
    with RunningStudy(study_folders, votes) as study:
        done = call_command(main, *arguments(study_folders, votes), "--port", "0")
        assert study.vote("anna", 0, "left") == 204
    assert done.code == 2
    assert re.fullmatch(r"human_study: Another running study is writing to .*votes\.jsonl\. .*\n", done.err)


def test_folders_of_one_name_are_told_apart_by_their_parents(study_folders: list[Path], tmp_path: Path) -> None:
    for method in ("mild", "strong"):
        (tmp_path / method).mkdir()
        (study_folders[0].parent / method).rename(tmp_path / method / "results")
    study = Study([tmp_path / "mild" / "results", tmp_path / "strong" / "results"], study_folders[-1])
    assert study.methods == ("mild/results", "strong/results")


def test_help_shows_how() -> None:
    done = call_command(main, "--help")
    assert done.code == 0
    assert (
        "python -m training.human_study results/gknet results/other --composites composites --votes votes.jsonl"
        in done.out
    )
