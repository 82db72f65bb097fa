"""Votes in their file: kept, taken back, torn by a crash, of another study, or refused by a full disk."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from gknet.errors import InputError
from training.human_study.study import Study
from training.human_study.votes import Vote, VoteFile, read_votes


@pytest.fixture
def study(study_folders: list[Path]) -> Study:
    return Study(study_folders, study_folders[-1])


@pytest.fixture
def path(tmp_path: Path, study: Study) -> Path:
    """A file with one voter's first three votes, all for the left."""
    with VoteFile(tmp_path / "votes.jsonl", study) as votes:
        for trial in study.draw_trials("anna")[:3]:
            votes.append(Vote("anna", trial, "left"))
    return tmp_path / "votes.jsonl"


def test_a_vote_is_a_line_that_says_all(path: Path, study: Study) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["voter"], line["picture"], line["left"], line["right"]) for line in lines] == [
        ("anna", *trial) for trial in study.draw_trials("anna")[:3]
    ]
    assert {line["study"] for line in lines} == {study.id}
    assert {line["choice"] for line in lines} == {"left"}


def test_the_last_vote_on_a_question_counts(path: Path, study: Study) -> None:
    trial = study.draw_trials("anna")[1]
    with VoteFile(path, study) as votes:
        assert len(votes.by_question) == 3
        votes.append(Vote("anna", trial, "none"))
    assert path.read_text(encoding="utf-8").count("\n") == 4
    counted = read_votes(path, study).by_question
    assert [vote.choice for vote in counted.values()] == ["left", "none", "left"]


def test_a_torn_last_line_is_told_and_cut_off(path: Path, study: Study) -> None:
    whole = path.read_bytes()
    for length in (1, 30, len(whole.splitlines()[2])):
        path.write_bytes(whole[: -1 - length])  # within the third line
        votes = read_votes(path, study)
        assert votes.is_torn == (length < len(whole.splitlines()[2]))
        assert len(votes.by_question) == 2
    path.write_bytes(whole + whole[:50])
    with VoteFile(path, study) as open_file:
        assert open_file.is_torn
        assert path.read_bytes() == whole
        open_file.append(Vote("ben", study.draw_trials("ben")[0], "right"))
    again = read_votes(path, study)
    assert not again.is_torn
    assert len(again.by_question) == 4


def test_a_last_line_that_an_editor_left_open_is_kept(path: Path, study: Study) -> None:
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert len(read_votes(path, study).by_question) == 3
    with VoteFile(path, study) as votes:
        assert not votes.is_torn
        votes.append(Vote("ben", study.draw_trials("ben")[0], "right"))
    assert len(read_votes(path, study).by_question) == 4


@pytest.mark.parametrize("damage", [b"no JSON", b"[1]", b'{"study": "x"}', b'{"voter": 1, "choice": "top"}', b""])
def test_a_damaged_line_before_the_last_is_an_error_that_names_it(path: Path, study: Study, damage: bytes) -> None:
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + b"".join(others))
    with pytest.raises(InputError, match=r"Line 2 of .*votes\.jsonl is not a valid vote\."):
        read_votes(path, study)


def test_votes_of_another_study_are_refused(path: Path, study_folders: list[Path]) -> None:
    before = path.read_bytes()
    fewer = Study(study_folders[:2], study_folders[-1])
    with pytest.raises(InputError, match="contains votes of another study"):
        VoteFile(path, fewer)
    Image.new("RGB", (451, 300)).save(study_folders[0] / "cat.png")  # a result that was made anew
    with pytest.raises(InputError, match="contains votes of another study"):
        read_votes(path, Study(study_folders, study_folders[-1]))
    assert path.read_bytes() == before


def test_the_order_of_the_folders_makes_no_other_study(study: Study, study_folders: list[Path]) -> None:
    assert Study(study_folders[::-1], study_folders[-1]).id == study.id


def test_only_one_running_study_writes_to_a_file(path: Path, study: Study) -> None:
    with VoteFile(path, study), pytest.raises(InputError, match="Another running study is writing to"):
        VoteFile(path, study)
    VoteFile(path, study).__exit__(None, None, None)  # free again


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The disk takes no more than that of any file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_vote_that_the_disk_has_no_room_for_leaves_no_trace(path: Path, study: Study) -> None:
    before = path.read_bytes()
    vote = Vote("ben", study.draw_trials("ben")[0], "right")
    with VoteFile(path, study) as votes:
        for room in (0, 40):
            with files_end_at(len(before) + room), pytest.raises(OSError, match=r"File too large|cannot be written"):
                votes.append(vote)
            assert path.read_bytes() == before
            assert vote.question not in votes.by_question
        votes.append(vote)
    assert read_votes(path, study).by_question[vote.question] == vote
