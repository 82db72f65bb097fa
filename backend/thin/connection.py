"""Finding a running backend, and starting one if there is none."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from .environment import clean_environment
from .installed import build_command, read_record
from .protocol import BACKEND_UNAVAILABLE, CANCELLED, NoAnswerError, ThinError

VARIABLE = "GKNET_CONNECTION"
"""Environment variable with the path of the connection file, for backend and clients alike."""
_POLL_S = 0.1
_KNOCK_S = 0.5
_LAST_LOOK_S = 1.0
"""If the started backend ends, another one that is just starting gets this long to answer."""
_MAX_FILE = 64 * 1024
_MAX_LINE = 1000
_CHOOSE_FILE = f"Set {VARIABLE} to a file that you can read and write."
_DELETE_FILE = f"Delete the file, or set {VARIABLE} to another one. Then try again."
_KEY = re.compile("[0-9a-fA-F]{64}")

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Address:
    """Contents of a connection file: host, port, PLAIN's password, and the key of the backend's proof (32 bytes)."""

    host: str
    port: int
    key: bytes = field(repr=False)
    proof_key: bytes = field(repr=False)


def find_connection_path() -> Path:
    """Return the path of the connection file, whether it exists or not.

    It is the value of GKNET_CONNECTION, otherwise the path in the installer's record, otherwise `backend.json` in the
    user's runtime folder. Raise ThinError (`backend_unavailable`) if the installer's record can't be read, or no file
    can have this name.
    """
    named = os.environ.get(VARIABLE) or read_record()["connection"]
    path = Path(named).absolute() if named else find_runtime_folder() / "backend.json"
    try:
        os.lstat(path)
    except ValueError as error:
        raise _make_unusable_error(path, "its name contains a NUL character", _CHOOSE_FILE) from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _make_unusable_error(path, "its name is too long", _CHOOSE_FILE) from error
    return path


def find_runtime_folder() -> Path:
    """Return the user's runtime folder, the same as platformdirs.user_runtime_dir("gknet")."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "Temp" / "gknet" / "gknet"
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/") and _is_private(Path(session), if_missing=True):
        return Path(session) / "gknet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "TemporaryItems" / "gknet"
    usual = Path(f"/run/user/{os.geteuid()}")
    if _is_private(usual, if_missing=False):
        return usual / "gknet"
    return Path(tempfile.gettempdir()) / f"runtime-{os.geteuid()}" / "gknet"


def read_connection_file(path: Path) -> Address | None:
    """Return the contents of the connection file, or None if it does not exist.

    Raise ThinError (`backend_unavailable`) for anything but a regular file, and for a file that belongs to another
    user or that others can read or write. The latter is not checked on Windows, where it is in the user's own folder.
    Raise NoAnswerError for a damaged file, which the next backend replaces.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())  # of the open file, even if the path is replaced meanwhile
            content = file.read(_MAX_FILE) if stat.S_ISREG(status.st_mode) else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        if sys.platform == "win32" and isinstance(error, PermissionError):
            return None  # it is being replaced
        hint = _DELETE_FILE if isinstance(error, IsADirectoryError) else _CHOOSE_FILE
        raise _make_unusable_error(path, error.strerror or str(error), hint) from error
    if not stat.S_ISREG(status.st_mode):
        raise _make_unusable_error(path, "it is not a regular file", _DELETE_FILE)
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        raise _make_unusable_error(path, "it belongs to another user", _DELETE_FILE)
    if sys.platform != "win32" and stat.S_IMODE(status.st_mode) & 0o077:
        raise _make_unusable_error(path, "other users can read or write it", _DELETE_FILE)
    try:
        return _parse_address(json.loads(content))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NoAnswerError(
            BACKEND_UNAVAILABLE,
            f"The connection file {path} is damaged: {type(error).__name__}: {error}.",
            "Start the backend with `gknet serve`.",
        ) from error


def has_listener() -> bool:
    """Return whether something listens at the connection file's address. It need not be a backend."""
    try:
        address = read_connection_file(find_connection_path())
        if address is None:
            return False
        socket.create_connection((address.host, address.port), timeout=_KNOCK_S).close()
    except (OSError, ThinError):
        return False
    return True


def start_backend(
    attempt: Callable[[], _Answer | None],
    path: Path,
    *,
    timeout_s: float,
    is_cancelled: Callable[[], bool] | None = None,
    command: Sequence[str] | None = None,
) -> _Answer:
    """Start a backend and wait until it answers.

    attempt: tries to connect once and returns None if that fails.   path: the connection file that it must write.
    timeout_s: seconds to wait for an answer.   is_cancelled: called about ten times a second.
    command: command that starts it; None for the recorded or found `gknet` command.

    The backend is an independent process: it outlives the host, keeps none of its files open, and doesn't get the
    environment variables that the host set for itself.
    Raise ThinError: `backend_unavailable` if it can't be started, ends (with the last line of its errors), or doesn't
    answer in time; `cancelled`.
    """
    words = command or build_command("serve")
    with tempfile.TemporaryFile() as errors:
        child = _launch_backend(words, path, errors)
        return _await_answer(child, attempt, timeout_s, is_cancelled, errors, words)


def _await_answer(
    child: subprocess.Popen[bytes],
    attempt: Callable[[], _Answer | None],
    timeout_s: float,
    is_cancelled: Callable[[], bool] | None,
    errors: IO[bytes],
    command: Sequence[str],
) -> _Answer:
    deadline = time.monotonic() + timeout_s
    ended = False
    while True:
        answer = attempt()
        if answer is not None:
            return answer
        if is_cancelled is not None and is_cancelled():
            raise ThinError(CANCELLED, "Cancelled while starting the backend.")
        if child.poll() is not None and not ended:
            ended = True
            deadline = min(deadline, time.monotonic() + _LAST_LOOK_S)
        if time.monotonic() >= deadline:
            how = f"ended with status {child.poll()}" if ended else f"did not answer within {timeout_s:g} s"
            message = f"The backend was started but {how}. {_read_last_line(errors)}".rstrip()
            raise ThinError(BACKEND_UNAVAILABLE, message, _explain_failure(command))
        time.sleep(_POLL_S)


def _read_last_line(errors: IO[bytes]) -> str:
    """Return the last line that the backend wrote to standard error, or ""."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - _MAX_LINE))
    lines = errors.read(_MAX_LINE).decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last.removeprefix("gknet: ")


def _launch_backend(command: Sequence[str], path: Path, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {**clean_environment(), VARIABLE: str(path)}
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=path.anchor,  # the host's folder may be on a drive that is unmounted later
            env=environment,
            **options,
        )
    except OSError as error:
        reason = error.strerror or error
        raise ThinError(
            BACKEND_UNAVAILABLE,
            f"The backend can't be started: {command[0]}: {reason}.",
            "Install GKNet Harmonize, then run `gknet install` for this program again.",
        ) from error
    # Without a wait, the ended process would remain a zombie until the host ends.
    threading.Thread(target=child.wait, name="gknet-backend", daemon=True).start()
    return child


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a named pipe would wait for somebody to write to it


def _parse_address(facts: Any) -> Address:
    """Return the address in a connection file's JSON. Raise ValueError, TypeError or KeyError if it is not valid."""
    host, port, key, proof_key = facts["host"], facts["port"], facts["key"], facts["proof_key"]
    if not ipaddress.ip_address(str(host)).is_loopback:
        raise ValueError(f"{host} is not a loopback address")
    if type(port) is not int or not 0 < port < 65536:
        raise ValueError(f"{port} is not a valid port")
    if not _KEY.fullmatch(key) or not _KEY.fullmatch(proof_key):
        raise ValueError("a key does not have 64 hexadecimal digits")
    return Address(host, port, key.encode(), bytes.fromhex(proof_key))


def _is_private(folder: Path, *, if_missing: bool) -> bool:
    try:
        status = os.lstat(folder)
    except FileNotFoundError:
        return if_missing
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700


def _make_unusable_error(path: Path, reason: str, hint: str) -> ThinError:
    return ThinError(BACKEND_UNAVAILABLE, f"The connection file {path} cannot be used: {reason}.", hint)


def _explain_failure(command: Sequence[str]) -> str:
    return f"To see why, run this in a terminal: {' '.join(command)}"
