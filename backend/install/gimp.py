"""Installing the plug-in in GIMP's plug-in folders."""

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
"""GIMP runs the file that has the same name as its folder."""

_VERSION = re.compile(r"3\.\d+")
_NAMED = "GIMP3_DIRECTORY"
"""Environment variable with the settings folder of every version."""
_START_FIRST = (
    "Start GIMP once and quit it, so that it creates its settings folder and imports your older settings; then run "
    "`gknet install gimp` again."
)
_FLATPAK = Path(".var", "app", "org.gimp.GIMP", "config", "GIMP")


def install(dest: Path | None) -> list[str]:
    """Install the plug-in in a plug-ins folder, or in that of every GIMP 3 that this user has started.

    Return lines to show to the user. Raise HarmonizeError if no folder is found or it can't be written.
    Never create a settings folder: GIMP imports an older version's settings only if its own folder doesn't exist yet.
    """
    lines = programs.describe_programs("GIMP") if dest is None else []
    folders = find_plug_in_folders() if dest is None else [dest.expanduser().absolute()]
    if not folders:
        raise HarmonizeError(*explain_never_started())
    for folder in folders:
        installation.install_plug_in(PACKAGE, folder / NAME)
        make_executable(folder / NAME / MAIN)
        installation.check_plug_in(PACKAGE, folder / NAME)
        lines.append(f"Installed the plug-in in {folder / NAME}.")
    if dest is None:
        lines += [f"{found} {remedy}".rstrip() for found, remedy in find_unstarted_versions()]
    lines.append("Start or restart GIMP, then choose Filters → Harmonize…")
    if dest is not None:
        lines.append("GIMP finds it only if the folder is listed in Edit → Preferences → Folders → Plug-ins.")
    if dest is None and any(program.kind == programs.FLATPAK for program in programs.find_programs("GIMP")):
        lines.append(
            "GIMP from Flatpak cannot start programs outside its sandbox. Run `gknet serve` before you use the plug-in."
        )
    return lines


def uninstall(dest: Path | None) -> list[str]:
    """Remove the plug-in and its settings, from one plug-ins folder or from all of them.

    Return lines to show to the user. Raise HarmonizeError for what cannot be removed.
    """
    folders = find_plug_in_folders() if dest is None else [dest.expanduser().absolute()]
    gone = [folder / NAME for folder in folders if installation.remove_plug_in(folder / NAME)]
    for folder in folders if dest is None else []:
        try:
            found = list((folder.parent / "plug-in-settings").glob(f"*{NAME}*"))
        except OSError as error:
            message = f"{folder.parent} cannot be read: {error.strerror or error}."
            raise HarmonizeError(message, "Make it readable and try again.") from error
        for settings in found:
            installation.remove_file(settings)
    if not folders:
        return ["The plug-in is not installed: GIMP 3 has no settings folder here."]
    if not gone:
        return ["The plug-in is not installed in " + " or ".join(map(str, folders)) + "."]
    return [f"Removed {folder}." for folder in gone]


def has_been_started() -> bool:
    """Return whether the user has settings of GIMP 3."""
    return bool(find_plug_in_folders())


def find_plug_in_folders() -> list[Path]:
    """Return the plug-ins folders of this user's GIMP 3, one for every version that has been started."""
    if named := os.environ.get(_NAMED):
        settings = Path.home() / named  # GIMP too resolves it against the home folder
        is_there = os.path.isdir(settings)  # noqa: PTH112  unlike Path's, it raises nothing
        return [settings / "plug-ins"] if is_there else []
    return [folder / "plug-ins" for place, _ in _list_settings_places() for folder in _find_settings_folders(place)]


def find_unstarted_versions() -> list[tuple[str, str]]:
    """Return a message and a remedy (or "") for each installed GIMP that has never been started."""
    notes = []
    for program in [] if os.environ.get(_NAMED) else programs.find_programs("GIMP"):
        places = [place for place, kinds in _list_settings_places() if program.kind in kinds]
        started = {folder.name for place in places for folder in _find_settings_folders(place)}
        series = programs.get_release_series(program.version)
        if series in started or (started and not series):
            continue
        name = f"GIMP {program} has not been started yet."
        if any(_parse_minor(other) < _parse_minor(series) for other in started):
            notes.append((f"{name} At its first start it copies the plug-in with your other settings.", ""))
        else:
            notes.append((name, _START_FIRST))
    return notes


def explain_never_started() -> tuple[str, str]:
    """Return a message and a remedy for a machine where no GIMP 3 has been started."""
    if named := os.environ.get(_NAMED):
        return (
            f"The settings folder {Path.home() / named} in GIMP3_DIRECTORY does not exist.",
            f"Start GIMP once with {_NAMED} set, or unset it; then run `gknet install gimp` again.",
        )
    found = programs.find_programs("GIMP")
    if not found:
        return "GIMP 3 was not found on this machine.", f"Install GIMP 3.0 or newer. {_START_FIRST}"
    return f"GIMP {found[0]} has not been started yet.", _START_FIRST


def _find_settings_folders(place: Path) -> list[Path]:
    """Return GIMP 3's settings folders in a parent folder, oldest version first."""
    try:
        found = [folder for folder in place.iterdir() if _VERSION.fullmatch(folder.name) and folder.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda folder: _parse_minor(folder.name))


def _list_settings_places() -> list[tuple[Path, set[str]]]:
    """Return parent folders of settings folders and the kinds of GIMP that use them, the usual one first."""
    home, own = Path.home(), {programs.PACKAGE, programs.APP_IMAGE}
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA")
        return [((Path(roaming) if roaming else home / "AppData" / "Roaming") / "GIMP", own)]
    if sys.platform == "darwin":
        return [(home / "Library" / "Application Support" / "GIMP", own)]
    config = os.environ.get("XDG_CONFIG_HOME", "")
    usual = Path(config) if config.startswith("/") else home / ".config"
    return [
        # Flatpak's GIMP uses this one if it exists, otherwise its own.
        (usual / "GIMP", own | {programs.FLATPAK}),
        (home / _FLATPAK, {programs.FLATPAK}),
        (home / "snap" / "gimp" / "current" / ".config" / "GIMP", {programs.SNAP}),
    ]


def _parse_minor(series: str) -> int:
    return int(series.partition(".")[2])


def make_executable(main: Path) -> None:
    """Make the plug-in's main file executable and set its time to now. Raise HarmonizeError if that fails.

    Archives lose the executable bit. GIMP queries a plug-in again only if this file is newer.
    """
    try:
        main.chmod(0o755)
        os.utime(main)
    except OSError as error:
        raise HarmonizeError(
            f"{main} cannot be made executable: {error.strerror or error}.",
            "Make it executable yourself, or GIMP ignores it.",
        ) from error
