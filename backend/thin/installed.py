"""The `gknet` command that a plug-in uses: named, recorded, found, or in the engine that a plug-in installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine.switch import Engine, find_engine_home, read_current
from .engine.wheel import has_wheel
from .environment import clean_environment, find_home
from .protocol import BACKEND_UNAVAILABLE, ThinError

INSTALLED = Path(__file__).parent.parent / "installed.json"
"""{"version": text, "command": [...], "connection": path or null}, each optional. Archives of a release contain only
the version."""
VARIABLE = "GKNET_COMMAND"
"""Environment variable with the path of the `gknet` command. It has priority over the record."""

_NAME = "gknet"
# These are often missing from the PATH of hosts started from a desktop menu.
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
    """Return the installer's record with `version`, `command` and `connection`, None for missing values.

    Raise ThinError (`backend_unavailable`) if it can't be read.
    """
    fields: dict[str, Any] = {}
    try:
        loaded = json.loads(INSTALLED.read_text(encoding="utf-8"))
        fields = {name: loaded.get(name) for name in ("version", "command", "connection")}
    except FileNotFoundError:
        return {"version": None, "command": None, "connection": None}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _make_record_error(str(error)) from error
    command, connection = fields["command"], fields["connection"]
    if command is not None and not (isinstance(command, list) and command and all(map(_is_text, command))):
        raise _make_record_error("`command` is not a list of words")
    if connection is not None and not _is_text(connection):
        raise _make_record_error("`connection` is not a path")
    return fields


@dataclass(frozen=True)
class Choice:
    """The command that starts the backend: its `words`, `serve` included, and the reason for choosing it.

    remedy: what to do if the command doesn't exist.
    """

    words: list[str]
    reason: str
    remedy: str = ""


def choose_command() -> Choice | None:
    """Return the command that the plug-in uses, None if there is none.

    The first one of: GKNET_COMMAND, the recorded one, one found on PATH or in the folders of pip, pipx, uv and
    Homebrew, and that of the engine that a plug-in installed.
    Raise ThinError (`backend_unavailable`) if the record or the engine can't be used.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = os.path.expanduser(named)  # noqa: PTH111  unlike Path's, it keeps the ~ of unknown users
        return Choice([path, "serve"], f"It is set in {VARIABLE}.", f"Correct or unset {VARIABLE}.")
    recorded: list[str] | None = read_record()["command"]
    if recorded is not None:
        return Choice(recorded, "It was recorded by `gknet install`.", "Run `gknet install` for this program again.")
    found = find_command()
    if found is not None:
        return Choice([found, "serve"], "It was found on PATH or in a folder of pip, pipx, uv, or Homebrew.")
    engine = find_engine()
    return Choice(engine.build_command("serve"), "It was installed from a plug-in.") if engine is not None else None


def build_command(subcommand: str) -> list[str]:
    """Return the command line for a subcommand of `gknet` without arguments, such as `serve`.

    Raise ThinError (`backend_unavailable`) if there is none, and the errors of `choose_command`.
    """
    choice = choose_command()
    if choice is None:
        raise make_missing_error()
    return choice.words if subcommand == "serve" else [*choice.words[:-1], subcommand]


def make_missing_error() -> ThinError:
    """Return the error (`backend_unavailable`) that there is no command."""
    if has_wheel():
        hint = "Choose Harmonize… in the menu, or Engine… in its dialog, to install it."
    else:
        hint = "Get the plug-in's archive, which can install the engine, or install GKNet Harmonize with pip."
    hint += " If GKNet Harmonize is already installed, run `gknet install` for this program, or set "
    hint += f"{VARIABLE} to the path of the command."
    return ThinError(BACKEND_UNAVAILABLE, "The engine is not installed: the `gknet` command was not found.", hint)


def find_engine() -> Engine | None:
    """Return the engine that a plug-in installed, None if there is none.

    Raise ThinError (`backend_unavailable`) if it can't be used.
    """
    return read_current(find_engine_home())


def find_command() -> str | None:
    """Return the most likely `gknet` command on PATH or in the folders of installers, None if there is none."""
    return next(_find_candidates(), None)


def _find_candidates() -> Iterator[str]:
    on_path = shutil.which(_NAME, path=clean_environment().get("PATH"))
    if on_path:
        yield on_path
    for pattern in _PLACES_ON_WINDOWS if sys.platform == "win32" else _PLACES:
        whole = find_home() / pattern[2:] if pattern[0] == "~" else Path(pattern)
        root = Path(whole.anchor)
        for folder in sorted(root.glob(str(whole.relative_to(root))), reverse=True):
            there = shutil.which(_NAME, path=str(folder))
            if there:
                yield there


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _make_record_error(reason: str) -> ThinError:
    hint = (
        "Install the plug-in from its archive again." if has_wheel() else "Run `gknet install` for this program again."
    )
    return ThinError(BACKEND_UNAVAILABLE, f"{INSTALLED} can't be read: {reason}.", hint)
