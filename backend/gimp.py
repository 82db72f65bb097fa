"""GIMP's plug-in folders, and our plug-in in them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from backend import installation, programs
from gknet.errors import HarmonizeError

PACKAGE = "plugin_gimp"
NAME = "gknet-harmonize"
MAIN = f"{NAME}.py"
"""GIMP runs the file that is called like its folder."""

_FIRST = "3.0"
_VERSION = re.compile(r"3\.\d+")
_FLATPAK = Path(".var", "app", "org.gimp.GIMP", "config", "GIMP")


def install(dest: Path | None) -> list[str]:
    """Puts the plug-in into a plug-ins folder, or into that of every GIMP 3 of this user.

    Returns what to tell the user, line by line. Raises HarmonizeError.
    """
    lines = programs.told("GIMP") if dest is None else []
    folders = plug_in_folders() if dest is None else [dest.expanduser().absolute()]
    for folder in folders:
        installation.put(PACKAGE, folder / NAME)
        _make_runnable(folder / NAME / MAIN)
        installation.check(PACKAGE, folder / NAME)
        lines.append(f"Put the plug-in into {folder / NAME}.")
    lines.append("Start GIMP, or start it again: it is in the menu Filters → Harmonize…")
    if dest is not None:
        lines.append("GIMP looks there if Edit → Preferences → Folders → Plug-ins names the folder.")
    if any(Path.home() / _FLATPAK in folder.parents for folder in folders):
        lines.append("GIMP from Flatpak may not start programs of yours: run `gknet serve` before you use it.")
    return lines


def uninstall(dest: Path | None) -> list[str]:
    """Takes the plug-in and its settings away again, from a plug-ins folder or from all where it is.

    Returns what to tell the user, line by line. Raises HarmonizeError.
    """
    folders = plug_in_folders() if dest is None else [dest.expanduser().absolute()]
    gone = [folder / NAME for folder in folders if installation.take_away(folder / NAME)]
    for folder in folders if dest is None else []:
        for settings in (folder.parent / "plug-in-settings").glob(f"*{NAME}*"):
            installation.take_file_away(settings)
    if not gone:
        return ["The plug-in is not installed in " + " or ".join(map(str, folders)) + "."]
    return [f"Removed {folder}." for folder in gone]


def plug_in_folders() -> list[Path]:
    """The plug-ins folders of this user's GIMP 3: of every version that has been run, and 3.0's of a GIMP that was
    found but not run yet. The usual one if there is neither."""
    named = os.environ.get("GIMP3_DIRECTORY")
    if named:
        return [Path(named).expanduser().absolute() / "plug-ins"]
    installed = {program.kind for program in programs.find("GIMP")}
    folders: list[Path] = []
    for place, kinds in _places():
        used = [
            folder
            for folder in (sorted(place.iterdir(), key=_minor) if place.is_dir() else [])
            if _VERSION.fullmatch(folder.name) and folder.is_dir()
        ]
        folders += used or ([place / _FIRST] if kinds & installed else [])
    return [folder / "plug-ins" for folder in folders or [_places()[0][0] / _FIRST]]


def _places() -> list[tuple[Path, set[str]]]:
    """Folders that hold one folder for each version of GIMP, and the kinds of GIMP that use it; the usual one first."""
    home, own = Path.home(), {programs.PACKAGE, programs.APP_IMAGE}
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA")
        return [((Path(roaming) if roaming else home / "AppData" / "Roaming") / "GIMP", own)]
    if sys.platform == "darwin":
        return [(home / "Library" / "Application Support" / "GIMP", own)]
    config = os.environ.get("XDG_CONFIG_HOME", "")
    usual = Path(config) if config.startswith("/") else home / ".config"
    return [
        (usual / "GIMP", own),
        (home / _FLATPAK, {programs.FLATPAK}),
        (home / "snap" / "gimp" / "current" / ".config" / "GIMP", {programs.SNAP}),
    ]


def _minor(folder: Path) -> int:
    _, _, minor = folder.name.partition(".")
    return int(minor) if minor.isdecimal() else 0


def _make_runnable(main: Path) -> None:
    """Archives lose the bit that says so; and GIMP asks a plug-in anew what it does only if this file is newer."""
    try:
        main.chmod(0o755)
        os.utime(main)
    except OSError as error:
        raise HarmonizeError(
            f"{main} cannot be made executable: {error.strerror or error}.", "Do so yourself, or GIMP leaves it out."
        ) from error
