"""From nothing to a connection: finds the backend that runs, or starts one."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path

from backend.client.link import Link
from backend.install.installation import COMMAND
from backend.server import connection
from backend.thin import protocol
from backend.thin.connection import connection_path, read, start
from backend.thin.protocol import BackendError

_HELLO_S = 5.0
_ANSWER_S = 15.0
_START_S = 60.0
_END_S = 15.0
_LOOK_S = 0.05


def reach(*, start_one: bool) -> Link:
    """A link with the running backend; with `start_one`, one is started if there is none.

    Raises BackendError (`backend_unavailable`).
    """
    path = connection_path()
    deadline = time.monotonic() + _ANSWER_S
    while True:
        try:
            return _look(path)
        except BackendError as error:
            if error.code != protocol.BACKEND_UNAVAILABLE:
                raise
            # A held lock: a backend starts, ends, or is too busy to answer. A free one: what the file says is stale.
            held = connection.is_held(path)
            if start_one and not held:
                break
            if not held or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_S)
    return start(lambda: _look_again(path), path, timeout_s=_START_S, command=COMMAND)


def _look(path: Path) -> Link:
    address = read(path)
    if address is None:
        raise _none("No backend is running.")
    return Link(address, _HELLO_S, {"name": "backend.Client", "version": version("gknet-harmonize")})


def _look_again(path: Path) -> Link | None:
    """The same while one is starting."""
    try:
        return _look(path)
    except BackendError as error:
        if error.code != protocol.BACKEND_UNAVAILABLE:
            raise
        return None


def await_end() -> None:
    """Waits until no backend runs. Raises BackendError if it takes too long."""
    path = connection_path()
    deadline = time.monotonic() + _END_S
    while connection.is_held(path):
        if time.monotonic() > deadline:
            raise _none("The backend does not end.")
        time.sleep(_LOOK_S)


def _none(message: str) -> BackendError:
    return BackendError(protocol.BACKEND_UNAVAILABLE, message, "Start it with `gknet serve` to see what it says.")
