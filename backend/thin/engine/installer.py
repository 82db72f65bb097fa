"""Installing, updating and removing the engine. The old engine stays in use until the new one has passed its check."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..environment import clean_environment
from ..protocol import CANCELLED, ThinError
from .attempt import LOOK, REMOVE, SWITCH, Attempt
from .children import ProgramError, build_module_command, run_program
from .environment import Sources, build_environment, check_engine, check_path, install_packages, make_environment
from .failures import explain_os_errors, make_error, make_space_error
from .lock import NAME, hold_lock, remove_lock_file
from .nvidia import has_nvidia_driver
from .pythons import check_python, find_python
from .sizes import estimate_size
from .switch import (
    CUDA,
    CURRENT,
    Engine,
    check_file,
    find_engine_home,
    forget_current,
    get_python,
    list_leftovers,
    read_current,
    read_record,
    switch_to,
)
from .uv import provide_python
from .wheel import Wheel

LOG = "install.log"
_CACHE = "downloads"
"""Folder for pip's downloads. It stays after a failure, so that another attempt continues, and goes after a success."""
_STOP_S = 10.0


@dataclass(frozen=True)
class Wishes:
    """What to install.   wheel: the project's.   sources: where its dependencies come from.

    python: the Python to use; None to look for one, or let uv provide it.
    """

    wheel: Wheel
    sources: Sources = field(default_factory=Sources)
    python: Path | None = None


def install_engine(wishes: Wishes, attempt: Attempt, home: Path | None = None) -> Engine:
    """Install or update the engine, and return it. Nothing changes if the same one is there and works.

    home: the engine folder; None for the user's.
    Raise ThinError: `backend_unavailable` with what to do, or `cancelled`. The engine in use stays as it was.
    """
    home = home or find_engine_home()
    folder = home / f"{wishes.wheel.version}-{secrets.token_hex(3)}"
    with explain_os_errors(home), hold_lock(home, attempt), _keep_log(home, attempt):
        try:
            return _install(wishes, attempt, folder)
        except BaseException as error:
            attempt.log(f"{type(error).__name__}: {error}")
            is_cancelled = isinstance(error, KeyboardInterrupt) or getattr(error, "code", "") == CANCELLED
            _clear(home, attempt, kept=set() if is_cancelled else {_CACHE}, unfinished=folder.name)
            raise


def remove_engine(attempt: Attempt, home: Path | None = None) -> bool:
    """Stop and remove the engine, and everything else in the engine folder. Return whether there was anything.

    Raise ThinError: `backend_unavailable` with what to do, or `cancelled`.
    """
    home = home or find_engine_home()
    with explain_os_errors(home):
        if not home.exists():
            return False
        if not (home / NAME).is_file():  # nobody can hold it, and it is in the way
            _delete(home / NAME)
    with explain_os_errors(home), hold_lock(home, attempt):
        attempt.report(REMOVE, "Removing the engine…")
        folders = [path for path in list_leftovers(home, {NAME}) if path.is_dir()]
        for folder in folders:
            _stop_backend(folder, attempt)
        for folder in folders:
            if is_in_use(folder):
                raise make_error(
                    f"The engine in {folder} is still in use.", "Quit GIMP, Krita and scripts that use it. Try again."
                )
        attempt.check()
        attempt.forbid_cancelling()
        if (home / CURRENT).is_dir():  # not ours, but in the way
            _delete(home / CURRENT)
        forget_current(home)
        for path in list_leftovers(home, {NAME}):
            _delete(path)
        if remaining := list_leftovers(home, {NAME}):
            raise make_error(f"{remaining[0]} can't be removed.", "Quit the programs that use it, then try again.")
        remove_lock_file(home)
    with suppress(OSError):  # another installer has just started, or the parent contains other data
        if sys.platform == "win32":
            (home / NAME).unlink(missing_ok=True)
        home.rmdir()
        home.parent.rmdir()
    return True


def is_in_use(folder: Path) -> bool:
    """Return whether a program from a folder is running."""
    if sys.platform == "win32":
        return not _can_be_renamed(folder)
    wanted = os.fsencode(str(folder) + os.sep)
    return any(wanted in line for line in _list_commands())


def _install(wishes: Wishes, attempt: Attempt, folder: Path) -> Engine:
    """Install the engine in a new folder, unless the same one is there and works."""
    home = folder.parent
    check_path(home)
    check_file(home / CURRENT)
    attempt.report(LOOK, "Looking for an older engine…")
    current = _read_usable(home, attempt)
    _clear(home, attempt, kept={_CACHE})
    environment = clean_environment()
    if current is not None and _is_same(current, wishes):
        try:
            check_engine(current, attempt, environment)
        except ThinError as error:
            if error.code == CANCELLED:
                raise
            attempt.log(f"It is installed again, because it does not work: {error}")
        else:
            _clear(home, attempt)
            return current
    if wishes.sources.build == CUDA and not has_nvidia_driver():
        raise make_error(
            "No NVIDIA driver was found, so PyTorch's CUDA build can't be used.",
            "Install the driver from NVIDIA or your system's package manager, or choose the build for the processor.",
        )
    wishes.wheel.read_constraints()  # before anything is downloaded
    _check_space(home, wishes)
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    environment = build_environment(environment, temporary)
    python = _choose_python(wishes, folder, attempt, environment)
    make_environment(folder, python, attempt, environment)
    install_packages(folder, wishes.wheel, wishes.sources, attempt, environment, home / _CACHE)
    engine = Engine(home, folder.name, wishes.wheel.version, wishes.sources.build, wishes.wheel.sha256)
    check_engine(engine, attempt, environment)
    _delete(temporary)
    attempt.check()
    attempt.forbid_cancelling()
    attempt.report(SWITCH, "Switching to the new engine…")
    switch_to(engine)
    with suppress(KeyboardInterrupt):  # it is installed; what stays is deleted the next time
        for former in list_leftovers(home, {NAME, LOG, _CACHE, engine.folder}):
            _stop_backend(former, attempt)
        _clear(home, attempt)
    return engine


def _is_same(engine: Engine, wishes: Wishes) -> bool:
    return engine.wheel_sha256 == wishes.wheel.sha256 and engine.build == wishes.sources.build


def _choose_python(wishes: Wishes, folder: Path, attempt: Attempt, environment: dict[str, str]) -> Path:
    if wishes.python is not None:
        if reason := check_python(wishes.python, attempt, environment):
            raise make_error(f"{wishes.python} can't be used: {reason}.", "Choose another Python.")
        return wishes.python
    found = find_python(attempt, environment)
    if found is not None:
        return found
    if wishes.sources.offline is not None:
        raise make_error(
            "No Python 3.11 to 3.14 was found that can make environments.",
            "Install one from python.org or with your system's package manager, then try again.",
        )
    return provide_python(folder, attempt, environment)


def _check_space(home: Path, wishes: Wishes) -> None:
    needed, free = estimate_size(wishes.sources.build).peak, shutil.disk_usage(home).free
    if free < needed:
        raise make_space_error(home, needed, free)


def _read_usable(home: Path, attempt: Attempt) -> Engine | None:
    """Return the engine in use, None if there is none that works."""
    try:
        return read_current(home)
    except ThinError as error:
        attempt.log(str(error))
        return None


def _clear(home: Path, attempt: Attempt, kept: Collection[str] = (), unfinished: str = "") -> None:
    """Delete what dead installers and former engines left in the engine folder, as far as nothing uses it.

    kept: further names to keep.   unfinished: name of the folder of this attempt, if it failed.
    """
    try:
        engine = read_record(home)
        leftovers = list_leftovers(home, {NAME, LOG, *kept, *([engine.folder] if engine is not None else [])})
    except ThinError as error:
        attempt.log(f"Other engines are kept, because one of them may be in use: {error}")
        leftovers = [home / name for name in (_CACHE, unfinished) if name and name not in kept]
    for path in leftovers:
        if is_in_use(path):
            attempt.log(f"{path} is in use, and will be deleted later.")
        elif not _delete(path):
            attempt.log(f"{path} can't be deleted completely now.")


def _delete(path: Path) -> bool:
    """Delete a file or a folder, as far as possible. Return whether it is gone."""

    def make_writable(function: Callable[[str], object], name: str, _: object) -> None:
        with suppress(OSError):
            Path(name).chmod(stat.S_IRWXU)
            if function in (os.unlink, os.rmdir):  # a folder that could not be opened is tried again below
                function(name)

    for _ in range(3):  # a child of a killed installer may still be writing
        if path.is_dir() and not path.is_symlink():
            # Python 3.12 renamed the argument, which gets another last value, and warns of the old name.
            name = "onexc" if sys.version_info >= (3, 12) else "onerror"
            handler: dict[str, Any] = {name: make_writable}
            shutil.rmtree(path, **handler)
        else:
            with suppress(OSError):
                path.unlink()
        if not path.exists() and not path.is_symlink():
            return True
        time.sleep(0.2)
    return False


def _can_be_renamed(folder: Path) -> bool:
    """Return whether Windows lets a folder be renamed, which it refuses while a program uses a file in there."""
    other = folder.with_name(f"{folder.name}.tried")
    try:
        folder.rename(other)
    except OSError:
        return not folder.exists()
    other.rename(folder)
    return True


def _stop_backend(folder: Path, attempt: Attempt) -> None:
    """Ask the backend of an engine's folder to end if it is in use, and wait for it. Log a failure."""
    if not is_in_use(folder):
        return
    attempt.log(f"Stopping the engine in {folder}.")
    words = build_module_command(get_python(folder), "backend", "stop")
    try:
        run_program(words, attempt, clean_environment(), timeout_s=_STOP_S)
    except (ProgramError, OSError) as error:
        attempt.log(f"It could not be stopped: {type(error).__name__}: {error}")
        return
    deadline = time.monotonic() + _STOP_S
    while is_in_use(folder) and time.monotonic() < deadline:
        attempt.sleep()


def _list_commands() -> Iterator[bytes]:
    """Yield the command line of every running program, as far as it is known."""
    processes = Path("/proc")
    if (processes / "self" / "cmdline").exists():
        for file in processes.glob("[0-9]*/cmdline"):
            with suppress(OSError):
                yield file.read_bytes()
        return
    with suppress(OSError, subprocess.SubprocessError):
        yield from subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, check=True).stdout.splitlines()


@contextmanager
def _keep_log(home: Path, attempt: Attempt) -> Iterator[None]:
    check_file(home / LOG)
    attempt.open_log(home / LOG)
    try:
        yield
    finally:
        attempt.close_log()
