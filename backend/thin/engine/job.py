"""An installation or a removal on a thread of its own, for hosts whose interface must not block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ..protocol import INTERNAL, ThinError
from .attempt import LOOK, Attempt, Progress
from .installer import LOG, Wishes, install_engine, remove_engine
from .switch import Engine, find_engine_home


class EngineJob:
    """A running installation or removal. Start it with `start_installation` or `start_removal`.

    Its attributes may be read from any thread.
    is_removal: whether it is a removal, which neither measures its progress nor writes a log.
    progress: the latest Progress.   log: path of the log file, which may not exist (any more).
    """

    def __init__(self, work: Callable[[Attempt], Engine | None], *, is_removal: bool) -> None:
        self.is_removal = is_removal
        self.progress = Progress(LOOK, "")
        self._work = work
        self._attempt = Attempt(self._take, lambda: self._is_cancelled)
        self.log: Path = find_engine_home() / LOG
        self._is_cancelled = False
        self._engine: Engine | None = None
        self._error: ThinError | None = None
        self._thread = threading.Thread(target=self._run, name="gknet-engine", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether it has ended, successfully or not."""
        return not self._thread.is_alive()

    @property
    def can_cancel(self) -> bool:
        """Whether `cancel` still has an effect: not once an installation or a removal can't stop halfway."""
        return self._attempt.can_cancel

    def restart(self) -> EngineJob:
        """Start the same again, and return that job."""
        return EngineJob(self._work, is_removal=self.is_removal)

    def cancel(self) -> None:
        """Cancel it if that is still possible; `is_done` follows a moment later. A former engine stays in use."""
        self._is_cancelled = True

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is done or the timeout has passed. Return whether it is done."""
        self._thread.join(timeout_s)
        return self.is_done

    def get_engine(self) -> Engine | None:
        """Return the installed engine of a job that is done, None after a removal.

        Raise ThinError: `cancelled`; `backend_unavailable` with what to do; `internal`.
        """
        if self._error is not None:
            raise self._error
        if not self.is_done:
            raise ThinError(INTERNAL, "The job is not done.")
        return self._engine

    def _run(self) -> None:
        try:
            self._engine = self._work(self._attempt)
        except ThinError as error:
            self._error = error
        except Exception as error:  # a bug: the host must show it and not wait forever
            self._error = ThinError(INTERNAL, f"{type(error).__name__}: {error}", "Please report this.")

    def _take(self, progress: Progress) -> None:
        self.progress = progress


def start_installation(wishes: Wishes) -> EngineJob:
    """Start to install or update the engine."""
    return EngineJob(lambda attempt: install_engine(wishes, attempt), is_removal=False)


def start_removal() -> EngineJob:
    """Start to remove the engine."""

    def remove(attempt: Attempt) -> None:
        remove_engine(attempt)

    return EngineJob(remove, is_removal=True)
