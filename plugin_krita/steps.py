"""Long work on Krita's interface thread, done in short pieces between which the interface lives on."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from .qt import QtCore
from .thin.job import Job

_PIECE_S = 0.04
"""Work is done for so long before Krita has its turn."""
_LOOK_MS = 10
"""Between two looks at a job that runs elsewhere."""

Work = Generator[Any, None, Any]
"""Yields between two pieces; a Job if it has to wait for that one and wants to look at it again a moment later."""


class Steps(QtCore.QObject):
    """A generator on its way, driven by a timer until it ends, fails or is stopped.

    on_end: called with what it returned.   on_error: called with the exception that came out of it.
    """

    def __init__(self, work: Work, on_end: Callable[[Any], object], on_error: Callable[[Exception], object]) -> None:
        super().__init__()
        self._work = work
        self._on_end = on_end
        self._on_error = on_error
        self._job: Job | None = None
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self._step)
        self._timer.start(0)

    def stop(self) -> None:
        """End it where it stands, its job too; none of the functions is called any more."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
        if not self._work.gi_running:
            self._work.close()

    def _step(self) -> None:
        if self._work.gi_running:
            return  # Krita lets events through in the middle of some of its calls
        end = time.monotonic() + _PIECE_S
        try:
            while self._timer.isActive():
                self._wait_for(next(self._work))
                if self._job is not None or time.monotonic() > end:
                    return
        except StopIteration as stopped:
            self._timer.stop()
            self._on_end(stopped.value)
        except Exception as error:
            self._timer.stop()
            self._on_error(error)

    def _wait_for(self, awaited: object) -> None:
        job = awaited if isinstance(awaited, Job) else None
        if (job is None) != (self._job is None):
            self._timer.setInterval(0 if job is None else _LOOK_MS)
        self._job = job
