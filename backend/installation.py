"""A plug-in put where its host finds it, with all that it needs to run there, and taken away again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from backend import thin
from backend.starting import COMMAND
from backend.thin.connection import INSTALLED, VARIABLE
from gknet.errors import HarmonizeError

_MSGPACK = ("__init__.py", "exceptions.py", "ext.py", "fallback.py")
"""The part of msgpack that is plain Python: hosts cannot load the compiled one."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def put(package: str, folder: Path) -> None:
    """Copies a plug-in (an importable package of ours) to `folder`: the whole of it or nothing.

    Beside the package's own files the folder then holds `thin/` with msgpack's plain Python in it, and
    `installed.json`, which says how the backend is started. An older version is replaced.
    Raises HarmonizeError if the folder cannot be written.
    """
    source = _folder_of(package)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gknet-", dir=folder.parent) as made:
            new = Path(made) / "new"
            shutil.copytree(source, new, ignore=_LEFT_OUT)
            shutil.copytree(_folder_of(thin.__name__), new / "thin", ignore=_LEFT_OUT)
            _copy_msgpack(new / "thin" / "msgpack")
            (new / INSTALLED.name).write_text(json.dumps(_record(), indent=2) + "\n", encoding="utf-8")
            if folder.exists():
                folder.rename(Path(made) / "old")
            new.rename(folder)
    except OSError as error:
        raise HarmonizeError(
            f"The plug-in cannot be put into {folder}: {error.strerror or error}.",
            "Make the folder writable, or name another with --dest.",
        ) from error


def take_away(folder: Path) -> bool:
    """Removes what `put` made; whether there was anything.

    Raises HarmonizeError for a folder that `put` did not make, and one that cannot be removed.
    """
    if not folder.exists():
        return False
    if not (folder / INSTALLED.name).exists():
        raise HarmonizeError(f"{folder} was not put there by `gknet install`.", "Remove it yourself if you want to.")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise HarmonizeError(
            f"{folder} cannot be removed: {error.strerror or error}.", "Close the program that uses it, and try again."
        ) from error
    return True


def _folder_of(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise HarmonizeError(f"{package} is missing from this installation.", "Install GKNet Harmonize again.")
    return Path(found.submodule_search_locations[0])


def _copy_msgpack(into: Path) -> None:
    source = _folder_of("msgpack")
    into.mkdir()
    for name in _MSGPACK:
        shutil.copyfile(source / name, into / name)


def _record() -> dict[str, object]:
    """How the plug-in starts this very installation, and where it finds the connection file."""
    named = os.environ.get(VARIABLE)
    return {"command": list(COMMAND), "connection": str(Path(named).absolute()) if named else None}
