"""GIMP's plug-in folders, and our plug-in in them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from backend.install import installation, programs
from gknet.errors import HarmonizeError

PACKAGE = "plugin_gimp"
NAME = "gknet-harmonize"
MAIN = f"{NAME}.py"
"""GIMP runs the file that is called like its folder."""

_VERSION = re.compile(r"3\.\d+")
_NAMED = "GIMP3_DIRECTORY"
"""Names the settings folder, whatever the version."""
_START_FIRST = (
    "Start GIMP once and quit it, so that it creates its settings folder and imports your older settings; then run "
    "`gknet install gimp` again."
)
_FLATPAK = Path(".var", "app", "org.gimp.GIMP", "config", "GIMP")


def install(dest: Path | None) -> list[str]:
    """Puts the plug-in into a plug-ins folder, or into that of every GIMP 3 that this user has started.

    GIMP takes an older version's settings over only if its own folder isn't there yet when it is started first, so that
    folder is never made here. Returns what to tell the user, line by line. Raises HarmonizeError.
    """
    lines = programs.describe_programs("GIMP") if dest is None else []
    folders = find_plug_in_folders() if dest is None else [dest.expanduser().absolute()]
    if not folders:
        raise HarmonizeError(*explain_never_started())
    for folder in folders:
        installation.install_plug_in(PACKAGE, folder / NAME)
        make_executable(folder / NAME / MAIN)
        installation.check_plug_in(PACKAGE, folder / NAME)
        lines.append(f"Put the plug-in into {folder / NAME}.")
    if dest is None:
        lines += [f"{found} {remedy}".rstrip() for found, remedy in find_unstarted_versions()]
    lines.append("Start GIMP, or start it again: it is in the menu Filters → Harmonize…")
    if dest is not None:
        lines.append("GIMP looks there only if the folder is listed in Edit → Preferences → Folders → Plug-ins.")
    if dest is None and any(program.kind == programs.FLATPAK for program in programs.find_programs("GIMP")):
        lines.append(
            "GIMP from Flatpak cannot start programs outside its sandbox: run `gknet serve` before you use it."
        )
    return lines


def uninstall(dest: Path | None) -> list[str]:
    """Takes the plug-in and its settings away again, from a plug-ins folder or from all where it is.

    Returns what to tell the user, line by line. Raises HarmonizeError.
    """
    folders = find_plug_in_folders() if dest is None else [dest.expanduser().absolute()]
    gone = [folder / NAME for folder in folders if installation.remove_plug_in(folder / NAME)]
    for folder in folders if dest is None else []:
        for settings in (folder.parent / "plug-in-settings").glob(f"*{NAME}*"):
            installation.remove_file(settings)
    if not folders:
        return ["The plug-in is not installed: GIMP 3 has no settings folder here."]
    if not gone:
        return ["The plug-in is not installed in " + " or ".join(map(str, folders)) + "."]
    return [f"Removed {folder}." for folder in gone]


def has_been_started() -> bool:
    """Whether the user has settings of GIMP 3."""
    return bool(find_plug_in_folders())


def find_plug_in_folders() -> list[Path]:
    """The plug-ins folders of this user's GIMP 3: one for every version that has been started."""
    if named := os.environ.get(_NAMED):
        settings = Path.home() / named  # as GIMP reads it: relative to the home folder
        return [settings / "plug-ins"] if settings.is_dir() else []
    return [folder / "plug-ins" for place, _ in _list_settings_places() for folder in _find_settings_folders(place)]


def find_unstarted_versions() -> list[tuple[str, str]]:
    """Installed GIMPs that have not been started yet, beside others that have: what to say, and what to do or ""."""
    notes = []
    for program in [] if os.environ.get(_NAMED) else programs.find_programs("GIMP"):
        places = [place for place, kinds in _list_settings_places() if program.kind in kinds]
        started = {folder.name for place in places for folder in _find_settings_folders(place)}
        series = programs.get_release_series(program.version)
        if series in started or (started and not series):
            continue
        name = f"GIMP {program} has not been started yet."
        if any(_parse_minor(other) < _parse_minor(series) for other in started):
            notes.append((f"{name} At its first start it copies the plug-in along with your other settings.", ""))
        else:
            notes.append((name, _START_FIRST))
    return notes


def explain_never_started() -> tuple[str, str]:
    """What to say where no GIMP 3 has been started, and what to do."""
    if named := os.environ.get(_NAMED):
        return (
            f"The settings folder {Path.home() / named}, which GIMP3_DIRECTORY names, does not exist.",
            f"Start GIMP once with {_NAMED} set, or unset it; then run `gknet install gimp` again.",
        )
    found = programs.find_programs("GIMP")
    if not found:
        return "GIMP 3 was not found on this machine.", f"Install GIMP 3.0 or newer. {_START_FIRST}"
    return f"GIMP {found[0]} has not been started yet.", _START_FIRST


def _find_settings_folders(place: Path) -> list[Path]:
    """GIMP 3's settings folders in a place, oldest version first."""
    try:
        found = [folder for folder in place.iterdir() if _VERSION.fullmatch(folder.name) and folder.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda folder: _parse_minor(folder.name))


def _list_settings_places() -> list[tuple[Path, set[str]]]:
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
        # Flatpak's GIMP uses this one too where it exists, and else its own.
        (usual / "GIMP", own | {programs.FLATPAK}),
        (home / _FLATPAK, {programs.FLATPAK}),
        (home / "snap" / "gimp" / "current" / ".config" / "GIMP", {programs.SNAP}),
    ]


def _parse_minor(series: str) -> int:
    return int(series.partition(".")[2])


def make_executable(main: Path) -> None:
    """Set the bit that archives lose, and the time: GIMP asks a plug-in anew what it does only if this file is newer.

    Raises HarmonizeError.
    """
    try:
        main.chmod(0o755)
        os.utime(main)
    except OSError as error:
        raise HarmonizeError(
            f"{main} cannot be made executable: {error.strerror or error}.", "Do so yourself, or GIMP leaves it out."
        ) from error
