"""What is finished in an output folder: by which files and settings each output was made.

The line that describes a result is written just before the result takes its name, and holds what the file is then known
by (size and time, which a rename keeps). So a line is true if the file it describes is there, whenever a kill comes.
A power cut takes what the disk does not have yet, in any order. So each step is on the disk before the next one begins:
the result's bytes (the workbench sees to them), the line, the name.
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
"""In the output folder: the lock, the journal, and what is not finished."""

_CLOCK_NS = 2_000_000_000
"""How far off a file's time may be: some file systems round it to two seconds, when they are mounted again."""
_CANNOT = (errno.EINVAL, errno.ENOTSUP)
"""What file systems answer that have no such thing as a folder on a disk, some of those in a network."""


@dataclass(slots=True)
class Journal:
    """The finished outputs of one folder, while it is ours alone: see `open`.

    unfinished: a folder on the same file system, for results that have no name yet.
    """

    out: Path
    unfinished: Path
    _file: IO[bytes]
    _lines: dict[str, list[dict[str, Any]]]

    @classmethod
    @contextmanager
    def open(cls, out: Path) -> Iterator[Journal]:
        """The journal of an output folder, which is made if need be; what a kill left unfinished is cleared away.

        Raises InputError if another batch is at work there, PictureError if the folder cannot be written to.
        """
        with ExitStack() as held:
            try:
                home = out / FOLDER
                home.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(home / "lock", timeout=0))
                unfinished = home / "unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(exist_ok=True)
                held.callback(shutil.rmtree, unfinished, ignore_errors=True)
                file = held.enter_context((home / "journal.jsonl").open("ab+"))
                journal = cls(out, unfinished, file, _read_lines(file))
                for folder in (home, out):  # without the journal, nothing would know the results again
                    sync_folder(folder)
            except Timeout:
                hint = "Wait until it has ended, or choose another folder."
                raise InputError(f"Another gknet batch is writing into {out}.", hint) from None
            except OSError as error:
                raise file_error(out, "written", error) from error
            yield journal

    def find_reason(self, job: Job, settings: Settings) -> str | None:
        """Nothing if the job's output is there and up to date; else, in a few words, why it has to be made.

        Raises PictureError if a file is there that no batch wrote, or that was changed since.
        """
        there = Stamp.of(self.out / job.output)
        if there is None:
            return "new"
        ours = [line for line in self._lines.get(job.output, []) if _is_same(line["output"], there)]
        if not ours:
            raise PictureError(
                f"{self.out / job.output} is there already, and was not written by gknet batch or was changed since.",
                "Move it away, or choose another folder.",
            )
        if ours[-1]["settings"] != settings.of(job):
            return "the settings have changed"
        stamps = [Stamp.of(path) for path in job.inputs]
        return None if ours[-1]["inputs"] == _describe_inputs(job, stamps) else "its files have changed"

    def publish(self, outcome: Outcome, settings: Settings) -> None:
        """Gives a written result its name, for good: on the disk too. Raises PictureError if the disk refuses."""
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
    """A job's files as JSON knows them: by name alone, for folders are moved and mounted elsewhere."""
    return [[path.name, stamp and asdict(stamp)] for path, stamp in zip(job.inputs, stamps, strict=True)]


def _is_same(line: dict[str, int], there: Stamp) -> bool:
    return line["size"] == there.size and abs(line["mtime_ns"] - there.mtime_ns) <= _CLOCK_NS


def _read_lines(file: IO[bytes]) -> dict[str, list[dict[str, Any]]]:
    """All lines, by output; a last one that a kill cut off is taken away."""
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
            hint = "Delete it, and what it speaks of is asked about anew."
            raise PictureError(f"{file.name} is damaged.", hint) from None
    return lines


def sync_file(path: Path) -> None:
    """Returns once a file's bytes are on the disk. Raises OSError if the disk refuses."""
    descriptor = os.open(path, os.O_RDWR)  # Windows takes no other
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Returns once the names in a folder are on the disk. Raises OSError if the disk refuses.

    Windows opens no folder, and some network file systems sync none: there, when a name is kept is up to the system.
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
