"""The user's engine folder, and the small file in it that names the engine in use.

Each engine is an environment in a folder of its own, `VERSION-RANDOM`. Replacing `current.json` switches from one to
the next, so that a host sees either the old engine or the complete new one.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..environment import clean_environment, find_home
from ..protocol import BACKEND_UNAVAILABLE, ThinError

CPU, CUDA = "cpu", "cuda"
BUILDS = (CPU, CUDA)
"""Builds of PyTorch. On macOS, CPU also uses Apple's GPU."""
CURRENT = "current.json"
_FIELDS = ("folder", "version", "build", "wheel_sha256")
_AGAIN = "Install the engine again."


@dataclass(frozen=True)
class Engine:
    """An engine.   home: the engine folder.   folder: the name of its own folder in there.

    version: of GKNet Harmonize.   build: one of BUILDS.   wheel_sha256: of the wheel that it was installed from.
    """

    home: Path
    folder: str
    version: str
    build: str
    wheel_sha256: str

    @property
    def path(self) -> Path:
        """The folder of its environment."""
        return self.home / self.folder

    @property
    def python(self) -> Path:
        """The Python of its environment."""
        return get_python(self.path)

    def build_command(self, subcommand: str) -> list[str]:
        """Return the command line for a subcommand of `gknet` without arguments, such as `serve`."""
        return [str(self.python), "-I", "-m", "backend", subcommand]


def find_engine_home() -> Path:
    """Return the engine folder in the user's data folder, whether it exists or not.

    Raise ThinError (`backend_unavailable`) if the home folder is unknown.
    """
    environment, home = clean_environment(), find_home()
    if sys.platform == "win32":
        local = environment.get("LOCALAPPDATA")
        return (Path(local) if local else home / "AppData" / "Local") / "gknet" / "engine"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "gknet" / "engine"
    named = environment.get("XDG_DATA_HOME", "")
    return (Path(named) if named.startswith("/") else home / ".local" / "share") / "gknet" / "engine"


def get_python(environment: Path) -> Path:
    """Return the path of the Python in an environment."""
    return environment / "Scripts" / "python.exe" if sys.platform == "win32" else environment / "bin" / "python"


def check_file(file: Path) -> None:
    """Raise ThinError (`backend_unavailable`) if something else stands in the place of a file, such as a folder."""
    with suppress(OSError):  # it doesn't exist, or can't be read, which its reader reports
        if not stat.S_ISREG(file.stat().st_mode):
            raise ThinError(BACKEND_UNAVAILABLE, f"{file} is not a file.", "Delete it, then install the engine again.")


def check_folder(folder: Path) -> None:
    """Raise ThinError (`backend_unavailable`) if something else stands in the place of a folder or of one above it."""
    for path in (folder, *folder.parents):
        with suppress(OSError):  # it doesn't exist, or can't be read, which its user reports
            if not stat.S_ISDIR(path.stat().st_mode):
                raise ThinError(BACKEND_UNAVAILABLE, f"{path} is not a folder.", "Rename or delete it, then try again.")


def read_current(home: Path) -> Engine | None:
    """Return the engine in use, None if there is none. Raise ThinError (`backend_unavailable`) if it is damaged."""
    engine = read_record(home)
    # os.path.exists raises nothing, unlike Path's. A link may lead nowhere.
    if engine is not None and not os.path.exists(engine.python):  # noqa: PTH110
        message = f"The engine in {engine.path} no longer works: its Python is missing."
        raise ThinError(BACKEND_UNAVAILABLE, message, _AGAIN)
    return engine


def read_record(home: Path) -> Engine | None:
    """Return the engine that the file names, whether it works or not; None if there is no file.

    Raise ThinError (`backend_unavailable`) if the file can't be read. Any engine may be in use then.
    """
    file = home / CURRENT
    check_file(file)  # reading might wait forever
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        engine = Engine(home, **{name: _get_text(facts, name) for name in _FIELDS})
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        if isinstance(error, FileNotFoundError) and not file.is_symlink():
            return None
        raise ThinError(BACKEND_UNAVAILABLE, f"{file} can't be read: {error}.", _AGAIN) from error
    if Path(engine.folder).name != engine.folder or engine.folder in (".", "..") or "\0" in engine.folder:
        raise ThinError(BACKEND_UNAVAILABLE, f"{file} names {engine.folder!r}, which is not a folder's name.", _AGAIN)
    return engine


def switch_to(engine: Engine) -> None:
    """Make an engine the one in use, atomically. Raise OSError."""
    facts = {name: getattr(engine, name) for name in _FIELDS}
    unfinished = engine.home / f"{CURRENT}.{os.getpid()}"
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(facts, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(engine.home / CURRENT)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def forget_current(home: Path) -> None:
    """Make none the engine in use. Raise OSError."""
    (home / CURRENT).unlink(missing_ok=True)


def list_leftovers(home: Path, kept: set[str]) -> list[Path]:
    """Return everything in the engine folder but the file that names the engine in use and the names to keep."""
    try:
        return sorted(path for path in home.iterdir() if path.name != CURRENT and path.name not in kept)
    except FileNotFoundError:
        return []


def _get_text(facts: Any, name: str) -> str:
    value = facts[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{name}` is not a text")
    return value
