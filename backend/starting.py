"""From nothing to a connection: finds the backend that runs, or starts one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

from backend import connection
from backend.link import Link
from backend.thin import protocol
from backend.thin.connection import VARIABLE, connection_path, read
from backend.thin.protocol import BackendError

_HELLO_S = 5.0
_ANSWER_S = 15.0
_START_S = 60.0
_END_S = 15.0
_LOOK_S = 0.05


def reach(*, start: bool) -> Link:
    """A link with the running backend; with `start`, one is started if there is none.

    Raises BackendError (`backend_unavailable`).
    """
    path = connection_path()
    deadline = time.monotonic() + (_START_S if start else _ANSWER_S)
    with ExitStack() as cleared_away:
        started: _Started | None = None
        while True:
            try:
                return _look(path)
            except BackendError as error:
                if error.code != protocol.BACKEND_UNAVAILABLE:
                    raise
                trouble = error
            # A held lock: a backend starts, ends, or is too busy to answer. A free one: what the file says is stale.
            if not connection.is_held(path):
                if not start:
                    raise trouble
                if started is None:
                    started = cleared_away.enter_context(closing(_Started(path)))
                elif started.process.poll() is not None:
                    raise _none(f"The backend could not be started. {started.complaint()}".rstrip())
            if time.monotonic() > deadline:
                raise trouble
            time.sleep(_LOOK_S)


def _look(path: Path) -> Link:
    address = read(path)
    if address is None:
        raise _none("No backend is running.")
    return Link(address, _HELLO_S, {"name": "backend.Client", "version": version("gknet-harmonize")})


def await_end() -> None:
    """Waits until no backend runs. Raises BackendError if it takes too long."""
    path = connection_path()
    deadline = time.monotonic() + _END_S
    while connection.is_held(path):
        if time.monotonic() > deadline:
            raise _none("The backend does not end.")
        time.sleep(_LOOK_S)


class _Started:
    """A backend of our own making; it outlives us."""

    def __init__(self, path: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (read, if ever, after its end)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env={**os.environ, VARIABLE: str(path)},
            start_new_session=True,
        )
        # Waits for its end, so that it leaves no zombie behind as long as we live.
        threading.Thread(target=self.process.wait, daemon=True).start()

    def complaint(self) -> str:
        """What it said last before it ended."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        return lines[-1].removeprefix("gknet: ") if lines else ""

    def close(self) -> None:
        """Stops listening to it."""
        self._errors.close()


def _none(message: str) -> BackendError:
    return BackendError(protocol.BACKEND_UNAVAILABLE, message, "Start it with `gknet serve` to see what it says.")
