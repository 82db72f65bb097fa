"""The lock that lets one installer at a time into the engine folder. It ends with its process, even a killed one."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .attempt import WAIT, Attempt
from .switch import check_file, check_folder

NAME = "install.lock"
_WAITING = "Another installation is running. Waiting for it…"


@contextmanager
def hold_lock(home: Path, attempt: Attempt) -> Iterator[None]:
    """Hold the lock of the engine folder, after waiting for other installers.

    Raise ThinError (`cancelled`; `backend_unavailable` if the lock is not a file or the folder not a folder), or
    OSError if the folder can't be written.
    """
    file = _acquire(home / NAME, attempt)
    try:
        yield
    finally:
        os.close(file)


def is_locked(home: Path) -> bool:
    """Return whether an installer holds the lock of the engine folder now."""
    try:
        file = os.open(home / NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(file)  # closing the file ends a lock
    except OSError:
        return False
    finally:
        os.close(file)


def remove_lock_file(home: Path) -> None:
    """Remove the lock's file. Call it while holding the lock; Windows keeps the file until the lock is released."""
    with suppress(PermissionError):
        (home / NAME).unlink(missing_ok=True)


def _acquire(path: Path, attempt: Attempt) -> int:
    """Return the descriptor of the locked file."""
    while True:
        check_folder(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)  # a removal may have ended meanwhile
        check_file(path)
        with suppress(FileNotFoundError):
            # A link that leads nowhere would look like a folder that another installer is removing.
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            try:
                if _try_lock(file) and _is_same(file, path):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)
        attempt.report(WAIT, _WAITING)
        attempt.sleep()


def _try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _is_same(file: int, path: Path) -> bool:
    """Return whether the locked file is still the one of this name: a removal deletes it."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
