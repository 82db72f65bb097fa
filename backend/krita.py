"""Krita's folders, and our plug-in in them."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backend.installation import put, take_away
from gknet.errors import HarmonizeError

PACKAGE = "plugin_krita"
NAME = "gknet_harmonize"
"""The plug-in's own name in Krita: its folder, its .desktop and .action files, its first action."""

_SWITCH = f"enable_{NAME}"
_WHERE_ENABLED = "Settings → Configure Krita… → Python Plugin Manager"
_SECTION = re.compile(rb"[ \t]*\[(.*)\][ \t]*\r?\n?")
_SETTING = re.compile(rb"[ \t]*%s(\[\$\w+\])?[ \t]*=" % _SWITCH.encode())


@dataclass(frozen=True, slots=True)
class Place:
    """One Krita: where its data is (which holds `pykrita`), and its settings file; None where nobody knows."""

    data: Path
    settings: Path | None


def install(dest: Path | None) -> list[str]:
    """Puts the plug-in into every Krita of the user's, or into one data folder; what to tell the user.

    Raises HarmonizeError for a folder or settings file that cannot be written.
    """
    told = []
    for place in _places(dest):
        folder = place.data / "pykrita" / NAME
        put(PACKAGE, folder)
        # Not copied: Krita finds an .action file in the plug-in's folder too, and complains of the second one.
        _move(folder / f"{NAME}.desktop", place.data / "pykrita" / f"{NAME}.desktop")
        _move(folder / f"{NAME}.action", place.data / "actions" / f"{NAME}.action")
        told.append(f"Harmonize is in {folder}.")
        if place.settings is not None:
            _write_setting(place.settings, "true")
            told.append(f"It is enabled in {place.settings}.")
    if dest is None:
        told.append("Start Krita, or quit it and start it again, and choose Filter → Harmonize….")
        told.append(f"Is it not there? It did not see the change: tick Harmonize in {_WHERE_ENABLED}.")
    else:
        told.append(f"Start Krita, tick Harmonize in {_WHERE_ENABLED}, and start Krita again.")
        told.append("Then choose Filter → Harmonize….")
    return told


def uninstall(dest: Path | None) -> list[str]:
    """Takes the plug-in, its action and its setting away again; what to tell the user.

    Raises HarmonizeError for what cannot be removed.
    """
    told = []
    for place in _places(dest):
        folder = place.data / "pykrita" / NAME
        found = take_away(folder)
        for file in (place.data / "pykrita" / f"{NAME}.desktop", place.data / "actions" / f"{NAME}.action"):
            found |= _remove(file)
        if place.settings is not None and place.settings.exists():
            _write_setting(place.settings, None)
        told.append(f"Harmonize was taken away from {place.data}." if found else f"Harmonize is not in {place.data}.")
    return [*told, "If Krita is running, it stays in its menu until Krita is started again."]


def places() -> list[Place]:
    """Where the user's Kritas keep their data: that of a package or an AppImage, and on Linux those of Flatpak and snap
    too if they have been started. The first is used where there is none yet."""
    home = Path.home()
    if sys.platform == "darwin":
        library = home / "Library"
        return [Place(library / "Application Support" / "krita", library / "Preferences" / "kritarc")]
    if sys.platform == "win32":
        roaming = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
        local = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        return [Place(roaming / "krita", local / "kritarc")]
    own = Place(
        _xdg("XDG_DATA_HOME", home / ".local" / "share") / "krita",
        _xdg("XDG_CONFIG_HOME", home / ".config") / "kritarc",
    )
    flatpak = home / ".var" / "app" / "org.kde.krita"
    snap = home / "snap" / "krita" / "current"
    boxed = [
        Place(flatpak / "data" / "krita", flatpak / "config" / "kritarc"),
        Place(snap / ".local" / "share" / "krita", snap / ".config" / "kritarc"),
    ]
    used = [place for place, root in zip(boxed, (flatpak, snap), strict=True) if root.exists()]
    return [own, *used] if own.data.exists() or not used else used


def _places(dest: Path | None) -> list[Place]:
    return places() if dest is None else [Place(dest.absolute(), None)]


def _xdg(name: str, usual: Path) -> Path:
    """A folder of the XDG base directory specification, which wants relative paths ignored."""
    named = Path(os.environ.get(name, ""))
    return named if named.is_absolute() else usual


def _write_setting(file: Path, value: str | None) -> None:
    """Sets, or takes away, the plug-in's switch in Krita's settings file; all else stays as it is, to the byte."""
    file = file.resolve()  # a link stays one
    try:
        before = file.read_bytes() if file.exists() else b""
        after = _with_setting(before, value)
        if after != before:
            _replace(file, after)
    except OSError as error:
        raise HarmonizeError(
            f"Krita's settings in {file} cannot be changed: {error.strerror or error}.",
            f"Make the file writable, or tick Harmonize in Krita's {_WHERE_ENABLED}.",
        ) from error


def _with_setting(settings: bytes, value: str | None) -> bytes:
    """KConfig's lines, `[section]` and `name=value`, with our switch at that value, or without it (None)."""
    newline = b"\r\n" if b"\r\n" in settings else b"\n"
    line = b"" if value is None else f"{_SWITCH}={value}".encode() + newline
    kept: list[bytes] = []
    section, place = b"", None
    for one in settings.splitlines(keepends=True):
        if found := _SECTION.fullmatch(one):
            section = found[1]
        if section == b"python" and _SETTING.match(one):
            continue
        kept.append(one)
        if section == b"python" and found:
            place = place or len(kept)
    if not line:
        return b"".join(kept)
    if kept and not kept[-1].endswith(b"\n"):
        kept[-1] += newline
    if place is None:
        kept += [newline] if kept else []
        kept.append(b"[python]" + newline)
        place = len(kept)
    return b"".join([*kept[:place], line, *kept[place:]])


def _replace(file: Path, content: bytes) -> None:
    """Another content for a file, at once: at every moment it holds the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-", delete=False) as new:
        fresh = Path(new.name)
        try:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
            new.close()
            if file.exists():
                shutil.copymode(file, fresh)
            fresh.replace(file)
        except BaseException:
            new.close()
            fresh.unlink(missing_ok=True)
            raise


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    except OSError as error:
        raise HarmonizeError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Make its folder writable, or name another with --dest.",
        ) from error


def _remove(file: Path) -> bool:
    """Whether there was such a file."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HarmonizeError(
            f"{file} cannot be removed: {error.strerror or error}.", "Close Krita, and try again."
        ) from error
    return True
