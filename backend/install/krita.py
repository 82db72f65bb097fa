"""Installing the plug-in in Krita's folders and enabling it in Krita's settings."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.install import programs
from backend.install.installation import check_plug_in, install_plug_in, remove_file, remove_plug_in
from gknet.atomic import replace_file
from gknet.errors import HarmonizeError

PACKAGE = "plugin_krita"
NAME = "gknet_harmonize"
"""The plug-in's name in Krita: of its folder, its .desktop and .action files, and its first action."""

BESIDE = (f"{NAME}.desktop", f"{NAME}.action")
"""The plug-in's files that are outside its own folder."""
_SWITCH = f"enable_{NAME}"
WHERE_ENABLED = "Settings → Configure Krita… → Python Plugin Manager"
_SECTION = re.compile(rb"[ \t]*\[(.*)\][ \t]*\r?\n?")
_SETTING = re.compile(rb"[ \t]*%s(\[\$\w+\])?[ \t]*=" % _SWITCH.encode())


@dataclass(frozen=True, slots=True)
class Place:
    """One Krita's data folder (the one with `pykrita` in it) and settings file, None if unknown."""

    data: Path
    settings: Path | None


def install(dest: Path | None) -> list[str]:
    """Install the plug-in in every Krita of this user, or in one data folder. Return lines to show to the user.

    Raise HarmonizeError for a folder or settings file that cannot be written.
    """
    lines = programs.describe_programs("Krita") if dest is None else []
    for place in _choose_places(dest):
        folder = get_plug_in_folder(place.data)
        install_plug_in(PACKAGE, folder)
        check_plug_in(PACKAGE, folder)
        # Moved, not copied: Krita also finds an .action file in the plug-in's folder, and warns about a second one.
        _move(folder / f"{NAME}.desktop", place.data / "pykrita" / f"{NAME}.desktop")
        _move(folder / f"{NAME}.action", place.data / "actions" / f"{NAME}.action")
        lines.append(f"Installed the plug-in in {folder}.")
        if place.settings is not None:
            _write_setting(place.settings, "true")
            lines.append(f"It is enabled in {place.settings}.")
    if dest is None:
        lines.append("Start or restart Krita, then choose Filter → Harmonize….")
        lines.append(
            f"If it is missing, Krita was running and overwrote the setting. Tick Harmonize in {WHERE_ENABLED}."
        )
    else:
        lines.append(f"Start Krita, tick Harmonize in {WHERE_ENABLED}, and restart Krita.")
        lines.append("Then choose Filter → Harmonize….")
    return lines


def uninstall(dest: Path | None) -> list[str]:
    """Remove the plug-in, its action and its settings. Return lines to show to the user.

    Raise HarmonizeError for what cannot be removed.
    """
    lines = []
    for place in _choose_places(dest):
        folder = get_plug_in_folder(place.data)
        found = remove_plug_in(folder)
        # If an archive was unpacked by hand, the .action file is next to the .desktop file.
        for file in (*(folder.with_name(name) for name in BESIDE), place.data / "actions" / f"{NAME}.action"):
            found |= remove_file(file)
        if place.settings is not None:
            _write_setting(place.settings, None)
        lines.append(f"Removed the plug-in from {place.data}." if found else f"The plug-in is not in {place.data}.")
    return [*lines, "If Krita is running, the menu entry stays until you restart Krita."]


def get_plug_in_folder(data: Path) -> Path:
    """Return the plug-in's own folder in a data folder of Krita."""
    return data / "pykrita" / NAME


def is_enabled(settings: Path) -> bool:
    """Return whether a settings file of Krita enables the plug-in. By default it does not."""
    try:
        content = settings.read_bytes()
    except OSError:
        return False
    return any(
        section == b"python" and _SETTING.match(line) and line.partition(b"=")[2].strip().lower() == b"true"
        for section, line in _iterate_lines(content)
    )


def has_been_started() -> bool:
    """Return whether the user has data of Krita."""
    return any(_exists(place.data) for place in find_places())


def find_places() -> list[Place]:
    """Return the data folders and settings files of this user's Kritas.

    They are those of a package or AppImage and, on Linux, of Flatpak and snap if installed or started before. If none
    exists yet, the first is returned.
    """
    home = Path.home()
    if sys.platform == "darwin":
        library = home / "Library"
        return [Place(library / "Application Support" / "krita", library / "Preferences" / "kritarc")]
    if sys.platform == "win32":
        roaming = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
        local = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        return [Place(roaming / "krita", local / "kritarc")]
    own = Place(
        _get_xdg_folder("XDG_DATA_HOME", home / ".local" / "share") / "krita",
        _get_xdg_folder("XDG_CONFIG_HOME", home / ".config") / "kritarc",
    )
    installed = {program.kind for program in programs.find_programs("Krita")}
    flatpak = home / ".var" / "app" / "org.kde.krita"
    snap = home / "snap" / "krita" / "current"
    used = []
    if _exists(flatpak) or programs.FLATPAK in installed:
        used.append(Place(flatpak / "data" / "krita", flatpak / "config" / "kritarc"))
    if _exists(snap) or programs.SNAP in installed:
        used.append(Place(snap / ".local" / "share" / "krita", snap / ".config" / "kritarc"))
    is_own = _exists(own.data) or installed & {programs.PACKAGE, programs.APP_IMAGE}
    return [own, *used] if is_own or not used else used


def _choose_places(dest: Path | None) -> list[Place]:
    return find_places() if dest is None else [Place(dest.expanduser().absolute(), None)]


def _exists(folder: Path) -> bool:
    return os.access(folder, os.F_OK)  # Path.exists raises if a parent folder cannot be read


def _get_xdg_folder(name: str, usual: Path) -> Path:
    """Return a folder of the XDG base directory specification, which says to ignore relative paths."""
    named = Path(os.environ.get(name, ""))
    return named if named.is_absolute() else usual


def _write_setting(file: Path, value: str | None) -> None:
    """Set or remove the plug-in's setting in Krita's settings file. All other bytes stay unchanged."""
    file = file.resolve()  # replace the target of a link, not the link
    try:
        before = file.read_bytes() if file.exists() else b""
        after = _change_setting(before, value)
        if after != before and after.strip():
            _replace_content(file, after)
        elif after != before:
            file.unlink()
    except OSError as error:
        raise HarmonizeError(
            f"Krita's settings in {file} cannot be changed: {error.strerror or error}.",
            f"Make the file writable, or tick Harmonize in Krita's {WHERE_ENABLED}.",
        ) from error


def _change_setting(settings: bytes, value: str | None) -> bytes:
    """Return KConfig's lines, `[section]` and `name=value`, with the plug-in's setting changed to a value.

    value: None removes the setting and the plug-in's own section.
    """
    newline = b"\r\n" if b"\r\n" in settings else b"\n"
    line = b"" if value is None else f"{_SWITCH}={value}".encode() + newline
    kept: list[bytes] = []
    place = None
    for section, one in _iterate_lines(settings):
        if section == b"python" and _SETTING.match(one):
            continue
        if value is None and section == NAME.encode():
            continue
        kept.append(one)
        if section == b"python" and _SECTION.fullmatch(one):
            place = place or len(kept)
    if not line:
        return _remove_empty_section(b"".join(kept))
    if kept and not kept[-1].endswith(b"\n"):
        kept[-1] += newline
    if place is None:
        kept += [newline] if kept else []
        kept.append(b"[python]" + newline)
        place = len(kept)
    return b"".join([*kept[:place], line, *kept[place:]])


def _remove_empty_section(settings: bytes) -> bytes:
    """Return the settings without Krita's section of plug-ins if it is empty."""
    lines = list(_iterate_lines(settings))
    if any(section == b"python" and line.strip() and not _SECTION.fullmatch(line) for section, line in lines):
        return settings
    return b"".join(line for section, line in lines if section != b"python")


def _iterate_lines(settings: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield every line of a settings file, preceded by the name of its section."""
    section = b""
    for line in settings.splitlines(keepends=True):
        if found := _SECTION.fullmatch(line):
            section = found[1]
        yield section, line


def _replace_content(file: Path, content: bytes) -> None:
    """Replace a file's content atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(file) as unfinished, unfinished.open("wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    except OSError as error:
        raise HarmonizeError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Make its folder writable, or choose another with --dest.",
        ) from error
