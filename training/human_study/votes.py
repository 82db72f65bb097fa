"""The file of votes: one line of JSON each, flushed to disk before the voter gets a confirmation.

A voter can go back and vote again: the last line for a question counts.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, get_args

from filelock import FileLock, Timeout

from gknet.errors import InputError
from training.human_study.study import Study, Trial

Choice = Literal["left", "right", "none"]
"""none: the voter sees no difference in quality."""
CHOICES: tuple[Choice, ...] = get_args(Choice)

Question = tuple[str, str, frozenset[str]]
"""Voter, picture and the pair of methods that a vote is about."""


class Vote(NamedTuple):
    """A voter's answer to one question."""

    voter: str
    trial: Trial
    choice: Choice

    @property
    def question(self) -> Question:
        return make_question(self.voter, self.trial)


class Votes(NamedTuple):
    """The contents of a file.

    by_question: the votes that count.
    end: number of bytes up to the end of the last complete line.
    is_torn: whether a partial line follows, as after a crash.
    """

    by_question: dict[Question, Vote]
    end: int
    is_torn: bool


def make_question(voter: str, trial: Trial) -> Question:
    """Return the question, independent of the methods' sides."""
    return voter, trial.picture, frozenset((trial.left, trial.right))


def read_votes(path: Path, study: Study) -> Votes:
    """Read the votes of a file; empty if the file doesn't exist yet.

    Raises InputError if the votes belong to another study, or if a line other than the last is damaged.
    """
    data = path.read_bytes() if path.exists() else b""
    *lines, last = data.split(b"\n")
    torn = bool(last) and not _is_whole(last)
    if last and not torn:
        lines.append(last)  # an editor may have omitted the last newline
    counted = {vote.question: vote for vote in _votes(path, lines, study)}
    return Votes(counted, len(data) - len(last) if torn else len(data), torn)


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _votes(path: Path, lines: Iterable[bytes], study: Study) -> Iterator[Vote]:
    for number, line in enumerate(lines, start=1):
        try:
            vote, of_study = _parse(line)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"Line {number} of {path} is not a valid vote.", "Repair or remove that line.") from error
        if of_study != study.id:
            hint = "Choose another file with --votes, or use the folders that it was started with."
            raise InputError(f"{path} contains votes of another study.", hint)
        yield vote


def _parse(line: bytes) -> tuple[Vote, str]:
    """Return the vote of a line, and its study's id."""
    fields = json.loads(line)
    if fields["choice"] not in CHOICES:
        raise ValueError(f"unknown choice {fields['choice']!r}")
    trial = Trial(fields["picture"], fields["left"], fields["right"])
    return Vote(fields["voter"], trial, fields["choice"]), fields["study"]


class VoteFile:
    """The file to which a running study appends votes.

    by_question: the votes so far.
    is_torn: whether a crash tore the last line, which is then removed.

    Thread-safe; use it as a context manager. Raises the errors of `read_votes`, InputError if another running study
    writes to the file, and OSError if it can't be written.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        self._study = study
        self._turn = threading.Lock()
        alone = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
        try:
            alone.acquire()
        except Timeout as error:
            hint = "Stop the other study, or choose another file with --votes."
            raise InputError(f"Another running study is writing to {path}.", hint) from error
        with ExitStack() as resources:
            resources.callback(alone.release)
            self.by_question, end, self.is_torn = read_votes(path, study)
            self._file = resources.enter_context(path.open("ab", buffering=0))
            self._file.truncate(end)
            if end and not path.read_bytes().endswith(b"\n"):
                self._write(b"\n")
            self._resources = resources.pop_all()

    def append(self, vote: Vote) -> None:
        """Write a vote to disk, then count it.

        Raises OSError, and leaves the file unchanged, if it can't be written.
        """
        line = {
            "study": self._study.id,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "voter": vote.voter,
            **vote.trial._asdict(),
            "choice": vote.choice,
        }
        with self._turn:
            self._write(json.dumps(line).encode() + b"\n")
            self.by_question[vote.question] = vote

    def _write(self, line: bytes) -> None:
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(f"{self.path} cannot be written: is the disk full?")
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._turn:  # finish a vote that is being written
            self._resources.close()
