"""One attempt to install or remove the engine: its progress, its cancellation and its log."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..protocol import CANCELLED, ThinError
from .failures import hide_credentials

WAIT, LOOK, PYTHON, ENVIRONMENT, TORCH, LIBRARIES, CHECK, SWITCH, REMOVE = (
    *("wait", "look", "python", "environment", "torch", "libraries", "check", "switch", "remove"),
)
STEPS = (WAIT, LOOK, PYTHON, ENVIRONMENT, TORCH, LIBRARIES, CHECK, SWITCH, REMOVE)
"""The steps in their order. REMOVE is the only one of a removal, besides WAIT."""

_STARTS = (0.0, 0.0, 0.02, 0.08, 0.12, 0.5, 0.9, 0.98, 0.0, 1.0)
"""Share of the whole installation that has passed when each step starts."""
POLL_S = 0.05
"""Time between two looks at a child or at `is_cancelled`."""


@dataclass(frozen=True)
class Progress:
    """The state of an attempt.   step: one of STEPS.   text: a sentence for the user.

    bytes_done: bytes downloaded in this step.   bytes_total: expected bytes, None if the step downloads nothing.
    """

    step: str
    text: str
    bytes_done: int = 0
    bytes_total: int | None = None

    @property
    def fraction(self) -> float:
        """The progress of the whole attempt, 0..1."""
        index = STEPS.index(self.step)
        part = min(self.bytes_done / self.bytes_total, 1.0) if self.bytes_total else 0.0
        return _STARTS[index] + part * max(0.0, _STARTS[index + 1] - _STARTS[index])


class _LogFile(io.TextIOWrapper):
    """A text file that never contains passwords, and that only the user can read."""

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600))
        with suppress(OSError):  # some disks have no permissions
            path.chmod(0o600)  # the file may be an older one
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write a text without the passwords in it."""
        return super().write(hide_credentials(text))


class Attempt:
    """Reports progress, notices cancellation, and keeps the log.

    on_progress: called with a Progress at every change.   is_cancelled: called about every 50 ms while a program
    runs, a download arrives, or another installer works. Both are called on the thread of the attempt.
    can_cancel: whether cancellation still has an effect.   log_path: of the log file, None if none was written.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], object] = lambda _: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.progress = Progress(LOOK, "")
        self.can_cancel = True
        self.log_path: Path | None = None
        self._on_progress = on_progress
        self._is_cancelled = is_cancelled
        self._lines: list[str] = []
        self._file: IO[str] | None = None

    def report(self, step: str, text: str, bytes_done: int = 0, bytes_total: int | None = None) -> None:
        """Report a state, and log its text if that is new."""
        progress = Progress(step, text, bytes_done, bytes_total)
        if progress == self.progress:
            return
        if text != self.progress.text:
            self.log(text)
        self.progress = progress
        self._on_progress(progress)

    def check(self) -> None:
        """Raise ThinError (`cancelled`) if the user cancelled."""
        if self.can_cancel and self._is_cancelled():
            raise ThinError(CANCELLED, "Cancelled.")

    def forbid_cancelling(self) -> None:
        """Ignore cancellation from now on: the remaining steps must not stop halfway."""
        self.can_cancel = False

    def sleep(self) -> None:
        """Check for cancellation and wait for POLL_S."""
        self.check()
        time.sleep(POLL_S)

    def log(self, line: str) -> None:
        """Write a line to the log. A log that can't be written (any more) doesn't stop the attempt."""
        stamped = f"{time.strftime('%H:%M:%S')}  {line}"
        if self._file is None:
            self._lines.append(stamped)
            return
        with suppress(OSError, ValueError):  # the disk may be full, which the attempt itself reports
            self._file.write(stamped + "\n")
            self._file.flush()

    def open_log(self, path: Path) -> None:
        """Start a new log file with the lines so far. Raise OSError."""
        self._file = _LogFile(path)
        self._file.write(time.strftime("%Y-%m-%d\n"))
        for line in self._lines:
            self._file.write(line + "\n")
        self._file.flush()
        self.log_path = path

    def close_log(self) -> None:
        """Close the log file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
