"""The file of votes: one line of JSON each, written through to the disk before the voter is told that it counts.

A voter who goes back votes again: the last line on a question is the one that counts.
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
"""Voter, picture and the two methods: what a vote answers."""


class Vote(NamedTuple):
    """A voter's answer to one question."""

    voter: str
    trial: Trial
    choice: Choice

    @property
    def question(self) -> Question:
        return make_question(self.voter, self.trial)


class Votes(NamedTuple):
    """What a file holds. counted: the votes that count.   end: bytes up to the end of its last whole line.

    torn: whether a piece of a line comes after that, as a crash leaves it.
    """

    by_question: dict[Question, Vote]
    end: int
    is_torn: bool


def make_question(voter: str, trial: Trial) -> Question:
    """The question, whichever side each method was on."""
    return voter, trial.picture, frozenset((trial.left, trial.right))


def read_votes(path: Path, study: Study) -> Votes:
    """The votes of a file; none if there is no file yet.

    Raises InputError if they were given in another study, or a line other than the last is damaged.
    """
    data = path.read_bytes() if path.exists() else b""
    *lines, last = data.split(b"\n")
    torn = bool(last) and not _is_whole(last)
    if last and not torn:
        lines.append(last)  # an editor may have left out the last line's end
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
            raise InputError(f"Line {number} of {path} is no vote.", "Repair or remove that line.") from error
        if of_study != study.id:
            hint = "Name another file with --votes, or the very folders that it was begun with."
            raise InputError(f"{path} holds votes of another study.", hint)
        yield vote


def _parse(line: bytes) -> tuple[Vote, str]:
    """The vote of a line, and its study's id."""
    fields = json.loads(line)
    if fields["choice"] not in CHOICES:
        raise ValueError("no choice")
    trial = Trial(fields["picture"], fields["left"], fields["right"])
    return Vote(fields["voter"], trial, fields["choice"]), fields["study"]


class VoteFile:
    """The file that a running study appends to. `counted`: the votes so far.   `torn`: whether one was torn by a crash.

    What was torn is cut off. Usable from several threads, as a context manager. Raises as `read_votes`, InputError
    if another running study writes to the file, OSError if it cannot be written.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        self._study = study
        self._turn = threading.Lock()
        alone = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
        try:
            alone.acquire()
        except Timeout as error:
            hint = "End the other one, or name another file with --votes."
            raise InputError(f"Another running study writes to {path}.", hint) from error
        with ExitStack() as resources:
            resources.callback(alone.release)
            self.by_question, end, self.is_torn = read_votes(path, study)
            self._file = resources.enter_context(path.open("ab", buffering=0))
            self._file.truncate(end)
            if end and not path.read_bytes().endswith(b"\n"):
                self._write(b"\n")
            self._resources = resources.pop_all()

    def append(self, vote: Vote) -> None:
        """Counts the vote once it is on the disk, whole.

        Raises OSError, and leaves the file as it was, where it cannot be written.
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
                raise OSError(f"{self.path} cannot take more: is the disk full?")
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._turn:  # a vote that is being written is finished
            self._resources.close()
