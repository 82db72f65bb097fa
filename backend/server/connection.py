"""The backend's side of the connection file: its contents, its keys, and the lock that allows only one backend."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from backend.errors import BackendUnavailableError
from backend.thin.connection import read_connection_file
from backend.thin.protocol import NoAnswerError, ThinError
from gknet import __version__
from gknet.atomic import replace_file

_GLANCE_S = 1.0
"""A client that tests the lock holds it for an instant."""
_END_S = 10.0
"""A backend that is stopping holds the lock a little longer than its connection file exists."""


def create_key() -> str:
    """Return 256 random bits as 64 hex digits."""
    return secrets.token_hex(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Contents of the connection file. The keys are left out of its repr, and so out of logs and tracebacks."""

    port: int
    device: str
    host: str = "127.0.0.1"
    key: str = field(repr=False)
    proof_key: str = field(repr=False)
    version: str = __version__
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=time.time)


@contextmanager
def hold_lock(path: Path) -> Iterator[Callable[[], bool]]:
    """Hold the lock of a connection file during the block, so that no second backend can start.

    Yield a function that returns whether the lock still keeps others out: not if its file was deleted or replaced.
    Remove the file that a killed backend left behind. Raise BackendUnavailableError if another backend is running
    or the folder cannot be used.
    """
    lock = _create_lock(path)
    try:
        _make_folder(path.parent)
        _check_regular(path)
        _check_regular(Path(lock.lock_file))
        _acquire_lock(lock, path)
        path.unlink(missing_ok=True)
        file = Path(lock.lock_file)
        held = file.stat()
    except OSError as error:
        raise _make_unusable_error(path, error) from error

    def is_in_place() -> bool:
        try:
            return os.path.samestat(held, file.stat())
        except OSError as error:  # in a folder that can't be read, it may still be there
            return not isinstance(error, FileNotFoundError)

    try:
        yield is_in_place
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a backend holds the lock. Raise BackendUnavailableError if the file's folder cannot be used."""
    lock = _create_lock(path)
    try:
        if not Path(lock.lock_file).exists():
            return False
        _check_regular(Path(lock.lock_file))
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError as error:
        raise _make_unusable_error(path, error) from error
    lock.release()
    return False


def name_holder(path: Path) -> str:
    """Return the process that holds the lock, as " (process 4711)"; "" if it cannot be found.

    The system is asked which process has the lock's file open, because a number in a file may be another program's by
    now, and a backend can lose its connection file. This may take a second: call it for error messages only.
    """
    name = os.path.realpath(_create_lock(path).lock_file)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(file.path == name for file in process.open_files()):
                return f" (process {process.pid})"
    return ""


def make_silence_error(path: Path) -> BackendUnavailableError:
    """Return the error for a backend that holds the lock but does not answer."""
    return BackendUnavailableError(
        f"The backend is running{name_holder(path)} but does not answer.",
        "Wait a moment. If it still does not answer, end that process.",
    )


def is_lost(path: Path) -> bool:
    """Return whether the connection file is missing or damaged, so that no client can find its backend."""
    try:
        return read_connection_file(path) is None
    except ThinError as error:
        return isinstance(error, NoAnswerError)


def describes(path: Path, connection: Connection) -> bool:
    """Return whether the connection file leads clients to this connection."""
    try:
        address = read_connection_file(path)
    except ThinError:
        return False
    return address is not None and address.key == connection.key.encode("ascii") and not path.is_symlink()


def write_connection_file(path: Path, connection: Connection) -> None:
    """Write the file atomically, readable only by its owner. Raise BackendUnavailableError if that fails."""
    try:
        if path.is_symlink():
            path.unlink()  # the file that it leads to isn't ours
        _check_regular(path)
        with replace_file(path, mode=0o600) as unfinished:
            unfinished.write_text(json.dumps(asdict(connection)), encoding="utf-8")
    except OSError as error:
        raise _make_unusable_error(path, error) from error


def remove_connection_file(path: Path, connection: Connection) -> None:
    """Remove the file if it still belongs to this connection."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        # Reading a named pipe would wait for somebody to write to it.
        if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["key"] == connection.key:
            path.unlink()


def _create_lock(path: Path) -> FileLock:
    return FileLock(path.with_name(f"{path.name}.lock"), mode=0o600)


def _acquire_lock(lock: FileLock, path: Path) -> None:
    Path(lock.lock_file).touch(0o600)  # where no file can be created, as in /proc, the lock would wait for it
    start = time.monotonic()
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=_GLANCE_S)
            return
        if path.exists() or time.monotonic() - start > _END_S:
            raise BackendUnavailableError(
                f"A backend is already running{name_holder(path)}.",
                "Use it, or stop it with `gknet stop`. If it does not answer, end that process.",
            )


def _make_folder(folder: Path) -> None:
    # An existing folder may be any, even /tmp, so its mode must not change.
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _check_regular(path: Path) -> None:
    """Raise BackendUnavailableError if something other than a regular file, such as a folder, has this name."""
    if path.exists() and not path.is_file():
        raise BackendUnavailableError(
            f"{path} cannot be used: it is not a regular file.",
            "Remove it, or set GKNET_CONNECTION to another connection file.",
        )


def _make_unusable_error(path: Path, error: OSError) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"The folder {path.parent} cannot be used: {error.strerror or error}.",
        "Make it writable, or set GKNET_CONNECTION to another connection file.",
    )
