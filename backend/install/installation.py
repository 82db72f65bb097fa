"""Installing a plug-in and its dependencies in a folder, checking it, and removing it again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backend import thin
from backend.thin.connection import VARIABLE
from backend.thin.environment import clean_environment
from backend.thin.installed import INSTALLED
from gknet.errors import HarmonizeError

COMMAND = (sys.executable, "-m", "backend", "serve")
"""Command that starts the backend of this installation."""

_MSGPACK = ("__init__.py", "exceptions.py", "ext.py", "fallback.py")
"""The pure-Python part of msgpack: hosts cannot load the compiled part."""
_LEFT_OUT = ("__pycache__", "*.pyc")
_START_S = 60.0


def get_version() -> str:
    """Return the version of this installation, and so of the plug-ins it installs."""
    return version("gknet-harmonize")


def assemble_plug_in(package: str, folder: Path, record: Mapping[str, object]) -> None:
    """Copy a plug-in (an importable package of ours) and its dependencies to `folder`, which must not exist.

    The folder then also holds `thin/` with msgpack's pure-Python part, and `installed.json`, the record.
    Raise OSError if it can't be written.
    """
    for name, source in _list_files(package):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    (folder / INSTALLED.name).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def install_plug_in(package: str, folder: Path) -> None:
    """Install a plug-in in `folder`, completely or not at all, and replace an older version.

    Its record holds the command that starts this installation's backend.
    Raise HarmonizeError if the folder cannot be written, or was not created by `gknet install`.
    """
    _check_ours(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gknet-", dir=folder.parent) as made:
            new = Path(made) / "new"
            assemble_plug_in(package, new, _build_record())
            old = Path(made) / "old"
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as error:
        raise HarmonizeError(
            f"The plug-in cannot be installed in {folder}: {error.strerror or error}.",
            "Make the folder writable, or choose another with --dest.",
        ) from error


def check_plug_in(package: str, folder: Path, beside: Collection[str] = ()) -> None:
    """Raise HarmonizeError if files of an installed plug-in are missing or differ, as after a disk error."""
    if differing := find_differences(package, folder, beside):
        raise HarmonizeError(
            f"The plug-in in {folder} is incomplete: {', '.join(differing)}.", "Free some disk space and try again."
        )


def check_command() -> None:
    """Raise HarmonizeError if hosts, which run in other folders and environments, could not start the backend."""
    words = [*COMMAND[:-1], "--version"]
    tried = subprocess.run(
        words, cwd=Path.home().anchor, env=clean_environment(), capture_output=True, timeout=_START_S, check=False
    )
    if tried.returncode:
        raise HarmonizeError(
            f"Hosts cannot start the backend: {' '.join(words)} ended with status {tried.returncode}.",
            "Install GKNet Harmonize with pip into this Python, and try again.",
        )


def remove_plug_in(folder: Path) -> bool:
    """Remove an installed plug-in or one unpacked from an archive. Return whether the folder existed.

    Raise HarmonizeError for any other folder, and for one that cannot be removed.
    """
    if not os.access(folder, os.F_OK):  # Path.exists raises if a parent folder cannot be read
        return False
    _check_ours(folder)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise HarmonizeError(
            f"{folder} cannot be removed: {error.strerror or error}.", "Close the program that uses it and try again."
        ) from error
    return True


def remove_file(file: Path) -> bool:
    """Remove a file. Return whether it existed. Raise HarmonizeError if it cannot be removed."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HarmonizeError(
            f"{file} cannot be removed: {error.strerror or error}.", "Close the program that uses it and try again."
        ) from error
    return True


def _check_ours(folder: Path) -> None:
    """Raise HarmonizeError if the folder exists but was not created by `gknet install`."""
    # Path.exists raises if a parent folder cannot be read: then nothing can be installed there, which is said later.
    if os.path.lexists(folder) and (folder.is_symlink() or not os.access(folder / INSTALLED.name, os.F_OK)):
        raise HarmonizeError(
            f"{folder} was not created by `gknet install`.", "Move or remove it yourself and try again."
        )


def read_record(folder: Path) -> dict[str, Any]:
    """Return the contents of `installed.json` in a plug-in's folder. Raise HarmonizeError if it cannot be read."""
    path = folder / INSTALLED.name
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarmonizeError(f"{path} cannot be read: {error}.", "Run `gknet install` again.") from error
    if not isinstance(record, dict):
        raise HarmonizeError(f"{path} cannot be read: expected a JSON object.", "Run `gknet install` again.")
    return record


def find_differences(package: str, folder: Path, beside: Collection[str] = ()) -> list[str]:
    """Return the names of files in a plug-in's folder that are missing or differ from this installation's.

    beside: names of files that are outside the folder. Raise HarmonizeError for a file that cannot be read.
    """
    try:
        return [
            name
            for name, source in _list_files(package)
            if name not in beside
            and not ((folder / name).is_file() and (folder / name).read_bytes() == source.read_bytes())
        ]
    except OSError as error:
        raise HarmonizeError(f"{folder} cannot be read: {error.strerror or error}.", "Make it readable.") from error


def _list_files(package: str) -> Iterator[tuple[str, Path]]:
    """Yield each file of a plug-in: its name in the plug-in's folder and its source."""
    for prefix, folder in (("", _find_folder(package)), ("thin/", _find_folder(thin.__name__))):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not any(part.match(one) for part in (file, file.parent) for one in _LEFT_OUT):
                yield prefix + file.relative_to(folder).as_posix(), file
    msgpack = _find_folder("msgpack")
    for name in _MSGPACK:
        yield f"thin/msgpack/{name}", msgpack / name


def _find_folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise HarmonizeError(f"{package} is missing from this installation.", "Install GKNet Harmonize again.")
    return Path(found.submodule_search_locations[0])


def _build_record() -> dict[str, object]:
    """Return the record: this version, the command that starts its backend, and the connection file."""
    named = os.environ.get(VARIABLE)
    connection = str(Path(named).absolute()) if named else None
    return {"version": get_version(), "command": list(COMMAND), "connection": connection}
