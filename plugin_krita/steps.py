"""Long work on Krita's interface thread, in short steps that keep the interface responsive."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from .qt import QtCore
from .thin.job import Job

_PIECE_S = 0.04
"""Time to work before Krita can handle its events."""
_LOOK_MS = 10
"""Interval between checks of a job that runs elsewhere."""

Work = Generator[Any, None, Any]
"""Yields between steps; yields a Job to wait for it before the next step."""


class Steps(QtCore.QObject):
    """Runs a generator with a timer until it ends, fails or is stopped.

    on_end: called with its return value.   on_error: called with its exception.
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
        """Stop the generator and its job at once. Neither callback is called afterwards."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
        if not self._work.gi_running:
            self._work.close()

    def _step(self) -> None:
        if self._work.gi_running:
            return  # some of Krita's calls process events, so this may be reentrant
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
