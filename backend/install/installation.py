"""A plug-in put where its host finds it, with all that it needs to run there, and taken away again."""

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
"""Starts the backend of this very installation."""

_MSGPACK = ("__init__.py", "exceptions.py", "ext.py", "fallback.py")
"""The part of msgpack that is plain Python: hosts cannot load the compiled one."""
_LEFT_OUT = ("__pycache__", "*.pyc")
_START_S = 60.0


def get_version() -> str:
    """The version that a plug-in put by this installation has."""
    return version("gknet-harmonize")


def assemble_plug_in(package: str, folder: Path, record: Mapping[str, object]) -> None:
    """Copies a plug-in (an importable package of ours) to `folder`, which must not exist, with all that it needs.

    Beside the package's own files the folder then holds `thin/` with msgpack's plain Python in it, and
    `installed.json`, the record. Raises OSError.
    """
    for name, source in _list_files(package):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    (folder / INSTALLED.name).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def install_plug_in(package: str, folder: Path) -> None:
    """Copies a plug-in to `folder`: the whole of it or nothing. An older version is replaced.

    Its record says how the backend of this installation is started.
    Raises HarmonizeError if the folder cannot be written, or holds something that is not ours.
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
            f"The plug-in cannot be put into {folder}: {error.strerror or error}.",
            "Make the folder writable, or name another with --dest.",
        ) from error


def check_plug_in(package: str, folder: Path, beside: Collection[str] = ()) -> None:
    """Raises HarmonizeError if a plug-in that was just put is not what it should be, as after a disk's fault."""
    if differing := find_differences(package, folder, beside):
        raise HarmonizeError(
            f"The plug-in in {folder} is not complete: {', '.join(differing)}.", "Free some space, and try again."
        )


def check_command() -> None:
    """Raises HarmonizeError if hosts, which work elsewhere and in a clean environment, could not start the backend."""
    words = [*COMMAND[:-1], "--version"]
    tried = subprocess.run(
        words, cwd=Path.home().anchor, env=clean_environment(), capture_output=True, timeout=_START_S, check=False
    )
    if tried.returncode:
        raise HarmonizeError(
            f"A host could not start the backend: {' '.join(words)} ended with status {tried.returncode}.",
            "Install GKNet Harmonize with pip into this Python, and try again.",
        )


def remove_plug_in(folder: Path) -> bool:
    """Removes what `put` made, or what was unpacked of a release's archive; whether there was anything.

    Raises HarmonizeError for any other folder, and one that cannot be removed.
    """
    if not folder.exists():
        return False
    _check_ours(folder)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise HarmonizeError(
            f"{folder} cannot be removed: {error.strerror or error}.", "Close the program that uses it, and try again."
        ) from error
    return True


def remove_file(file: Path) -> bool:
    """Removes a file; whether there was one. Raises HarmonizeError if it cannot be removed."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HarmonizeError(
            f"{file} cannot be removed: {error.strerror or error}.", "Close the program that uses it, and try again."
        ) from error
    return True


def _check_ours(folder: Path) -> None:
    """Raises HarmonizeError if there is something at a plug-in's place that `gknet install` did not put there."""
    if (folder.exists() or folder.is_symlink()) and (folder.is_symlink() or not (folder / INSTALLED.name).is_file()):
        raise HarmonizeError(
            f"{folder} was not put there by `gknet install`.", "Move it away or remove it yourself, and try again."
        )


def read_record(folder: Path) -> dict[str, Any]:
    """What `installed.json` in a plug-in's folder says. Raises HarmonizeError if it cannot be read."""
    path = folder / INSTALLED.name
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarmonizeError(f"{path} cannot be read: {error}.", "Run `gknet install` again.") from error
    if not isinstance(record, dict):
        raise HarmonizeError(f"{path} is no record of ours.", "Run `gknet install` again.")
    return record


def find_differences(package: str, folder: Path, beside: Collection[str] = ()) -> list[str]:
    """Names of the files in a plug-in's folder that are missing or not this installation's.

    beside: those that lie elsewhere. Raises HarmonizeError for a file that cannot be read.
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
    """Each file of a plug-in: its name in the plug-in's folder, and where it is copied from."""
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
    """Which version this is, how the plug-in starts this very installation, and where it finds the connection file."""
    named = os.environ.get(VARIABLE)
    connection = str(Path(named).absolute()) if named else None
    return {"version": get_version(), "command": list(COMMAND), "connection": connection}
