"""Record of the finished outputs in a folder: the files and settings that each was made from.

A result's line is written just before the result is renamed, and contains the size and time of the file, which a rename
keeps. So a line is valid if the file that it describes exists, whenever the process is killed.
A power failure loses unsynced data in any order. So each step is synced to disk before the next begins: the result's
bytes (by the workbench), the line, the name.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from filelock import FileLock, Timeout

from gknet.batch.job import Job, Outcome, Settings, Stamp
from gknet.errors import InputError, PictureError
from gknet.files.picture import file_error

FOLDER = ".gknet-batch"
"""Folder inside the output folder for the lock, the journal, and unfinished results."""

_CLOCK_NS = 2_000_000_000
"""Tolerance of file times: some file systems round them to two seconds after a remount."""
_CANNOT = (errno.EINVAL, errno.ENOTSUP)
"""Errors of file systems that cannot sync a folder, such as some network file systems."""


@dataclass(slots=True)
class Journal:
    """The finished outputs of one folder, locked for this process: see `open`.

    unfinished: a folder on the same file system for results before they are renamed.
    """

    out: Path
    unfinished: Path
    _file: IO[bytes]
    _lines: dict[str, list[dict[str, Any]]]

    @classmethod
    @contextmanager
    def open(cls, out: Path) -> Iterator[Journal]:
        """Open the journal of an output folder, which is created if necessary; leftovers of a killed run are removed.

        Raises InputError if another batch is running there, PictureError if the folder cannot be written to.
        """
        with ExitStack() as stack:
            try:
                home = out / FOLDER
                home.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(home / "lock", timeout=0))
                unfinished = home / "unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(exist_ok=True)
                stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
                file = stack.enter_context((home / "journal.jsonl").open("ab+"))
                journal = cls(out, unfinished, file, _read_lines(file))
                for folder in (home, out):  # without the journal, the results could not be recognized
                    sync_folder(folder)
            except Timeout:
                hint = "Wait until it has finished, or choose another folder."
                raise InputError(f"Another gknet batch is writing into {out}.", hint) from None
            except OSError as error:
                raise file_error(out, "written", error) from error
            yield journal

    def find_reason(self, job: Job, settings: Settings) -> str | None:
        """Return None if the job's output is up to date; otherwise why it has to be made, in a few words.

        Raises PictureError for an existing file that no batch wrote, or that was changed since.
        """
        there = Stamp.of(self.out / job.output)
        if there is None:
            return "new"
        ours = [line for line in self._lines.get(job.output, []) if _is_same(line["output"], there)]
        if not ours:
            raise PictureError(
                f"{self.out / job.output} already exists and was not written by gknet batch, or was changed since.",
                "Move it away, or choose another folder.",
            )
        if ours[-1]["settings"] != settings.of(job):
            return "the settings have changed"
        stamps = [Stamp.of(path) for path in job.inputs]
        return None if ours[-1]["inputs"] == _describe_inputs(job, stamps) else "its files have changed"

    def publish(self, outcome: Outcome, settings: Settings) -> None:
        """Rename a written result to its final name and sync it to disk. Raises PictureError if writing fails."""
        assert outcome.unfinished is not None
        assert outcome.written is not None
        job = outcome.job
        line = {
            "name": job.output,
            "output": asdict(outcome.written),
            "inputs": _describe_inputs(job, outcome.inputs),
            "settings": settings.of(job),
        }
        target = self.out / job.output
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            outcome.unfinished.replace(target)
            for folder in PurePosixPath(job.output).parents:  # those above hold the names of those just made
                sync_folder(self.out / folder)
        except OSError as error:
            raise file_error(target, "written", error) from error


def _describe_inputs(job: Job, stamps: list[Stamp | None] | tuple[Stamp | None, ...]) -> list[Any]:
    """Return a job's files as JSON values: by name only, because folders may be moved or mounted elsewhere."""
    return [[path.name, stamp and asdict(stamp)] for path, stamp in zip(job.inputs, stamps, strict=True)]


def _is_same(line: dict[str, int], there: Stamp) -> bool:
    return line["size"] == there.size and abs(line["mtime_ns"] - there.mtime_ns) <= _CLOCK_NS


def _read_lines(file: IO[bytes]) -> dict[str, list[dict[str, Any]]]:
    """Return all lines by output; an incomplete last line is removed."""
    file.seek(0)
    content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.truncate(len(whole))
    lines: dict[str, list[dict[str, Any]]] = {}
    for text in whole.splitlines():
        try:
            line = json.loads(text)
            lines.setdefault(line["name"], []).append(line)
        except (ValueError, KeyError, TypeError):
            hint = "Delete it, and move its results to another folder."
            raise PictureError(f"{file.name} is damaged.", hint) from None
    return lines


def sync_file(path: Path) -> None:
    """Sync a file's bytes to disk. Raises OSError if the disk refuses."""
    descriptor = os.open(path, os.O_RDWR)  # Windows syncs only writable files
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder to disk. Raises OSError if the disk refuses.

    Does nothing on Windows, which cannot open folders, and on network file systems that cannot sync them.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)
