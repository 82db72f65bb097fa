"""What the installer recorded beside this package, and the `gknet` command, recorded or found."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .environment import clean_environment
from .protocol import BACKEND_UNAVAILABLE, ThinError

INSTALLED = Path(__file__).parent.parent / "installed.json"
"""{"version": text, "command": [...], "connection": path or null}, each optional. A release's archive has the version
alone."""
VARIABLE = "GKNET_COMMAND"
"""Environment variable that names the `gknet` command, before what was recorded."""

_NAME = "gknet"
# Hosts started from a desktop's menu often don't have these on their PATH.
_PLACES = (
    "~/.local/bin",
    "~/bin",
    "~/.venv/bin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
    "~/Library/Python/3.*/bin",
    "~/.local/share/pipx/venvs/gknet-harmonize/bin",
    "~/.local/share/uv/tools/gknet-harmonize/bin",
)
_PLACES_ON_WINDOWS = (
    "~/.local/bin",
    "~/.venv/Scripts",
    "~/pipx/venvs/gknet-harmonize/Scripts",
    "~/AppData/Roaming/Python/Python3*/Scripts",
    "~/AppData/Local/Programs/Python/Python3*/Scripts",
    "~/AppData/Roaming/uv/tools/gknet-harmonize/Scripts",
)


def read_record() -> dict[str, Any]:
    """The installer's record with `version`, `command` and `connection`, None for what it doesn't say.

    Raises ThinError (`backend_unavailable`) if it can't be read.
    """
    fields: dict[str, Any] = {}
    try:
        loaded = json.loads(INSTALLED.read_text(encoding="utf-8"))
        fields = {name: loaded.get(name) for name in ("version", "command", "connection")}
    except FileNotFoundError:
        return {"version": None, "command": None, "connection": None}
    except (OSError, ValueError, AttributeError) as error:
        raise _make_record_error(str(error)) from error
    command, connection = fields["command"], fields["connection"]
    if command is not None and not (isinstance(command, list) and command and all(map(_is_text, command))):
        raise _make_record_error("`command` is not a list of words")
    if connection is not None and not _is_text(connection):
        raise _make_record_error("`connection` is not a path")
    return fields


def build_command(subcommand: str) -> list[str]:
    """The words that run a subcommand of `gknet` that needs nothing else, such as `serve`.

    The command is the one that GKNET_COMMAND names, the one that was recorded, or one that is found on PATH and where
    pip, pipx, uv and Homebrew put it.  Raises ThinError (`backend_unavailable`) if there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return [str(Path(named).expanduser()), subcommand]
    recorded: list[str] | None = read_record()["command"]
    if recorded is not None:
        return recorded if subcommand == "serve" else [*recorded[:-1], subcommand]
    found = find_command()
    if found is None:
        raise ThinError(
            BACKEND_UNAVAILABLE,
            "The `gknet` command, which does the work, was not found.",
            "Install GKNet Harmonize with pip, then start this program again. Is it there already? "
            f"Run `gknet install` for this program, or name the command in {VARIABLE}.",
        )
    return [found, subcommand]


def find_command() -> str | None:
    """The likeliest of the `gknet` commands that are on PATH or where installers put them."""
    return next(_find_candidates(), None)


def _find_candidates() -> Iterator[str]:
    on_path = shutil.which(_NAME, path=clean_environment().get("PATH"))
    if on_path:
        yield on_path
    for pattern in _PLACES_ON_WINDOWS if sys.platform == "win32" else _PLACES:
        whole = (
            Path(clean_environment().get("HOME") or Path.home()) / pattern[2:] if pattern[0] == "~" else Path(pattern)
        )
        root = Path(whole.anchor)
        for folder in sorted(root.glob(str(whole.relative_to(root))), reverse=True):
            there = shutil.which(_NAME, path=str(folder))
            if there:
                yield there


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _make_record_error(reason: str) -> ThinError:
    return ThinError(
        BACKEND_UNAVAILABLE, f"{INSTALLED} can't be read: {reason}.", "Run `gknet install` for this program again."
    )
