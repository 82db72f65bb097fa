"""The hosts' programs on this machine, however they were installed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE, FLATPAK, SNAP, APP_IMAGE = "package", "Flatpak", "snap", "AppImage"

_ROOT = Path("/")
_NAMES = {"GIMP": ("gimp", "gimp-3", "gimp-3.0", "gimp-3.2"), "Krita": ("krita",)}
_FLATPAKS = {"GIMP": "org.gimp.GIMP", "Krita": "org.kde.krita"}
_OLD = re.compile(r"gimp-2\.\d+")
"""What `gimp` is a link to where it is the GIMP before 3."""


@dataclass(frozen=True)
class Program:
    """path: what is started.   kind: PACKAGE, FLATPAK, SNAP or APP_IMAGE."""

    path: Path
    kind: str


def find(host: str) -> list[Program]:
    """Every installed "GIMP" (3 or newer) or "Krita", of the system's and of the user's own, each once."""
    search = {"win32": _on_windows, "darwin": _on_mac}.get(sys.platform, _on_linux)
    found: dict[Path, Program] = {}
    for program in search(host):
        target = program.path.resolve()
        # Links in /snap/bin all lead to the one program that starts every snap.
        found.setdefault(program.path if program.kind == SNAP else target, program)
    return list(found.values())


def told(host: str) -> list[str]:
    """What was found, for the user, line by line."""
    found = find(host)
    if not found:
        return [f"Warning: {host} was not found on this machine; the plug-in waits where it will look for it."]
    return [f"Found {host}: {program.path} ({program.kind})." for program in found]


def _on_linux(host: str) -> Iterator[Program]:
    home = Path.home()
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [_ROOT / "usr" / "bin", _ROOT / "usr" / "local" / "bin"]
    snaps = _ROOT / "snap" / "bin"
    for folder in dict.fromkeys(folders):
        for name in _NAMES[host] if folder != snaps else ():
            path = folder / name
            if _is_program(path) and not _OLD.fullmatch(path.resolve().name):
                yield Program(path, PACKAGE)
    if _is_program(snaps / host.lower()):
        yield Program(snaps / host.lower(), SNAP)
    for base in (_ROOT / "var" / "lib" / "flatpak", home / ".local" / "share" / "flatpak"):
        path = base / "exports" / "bin" / _FLATPAKS[host]
        if path.exists() or path.is_symlink():
            yield Program(path, FLATPAK)
    where = [home, _ROOT / "opt", *(home / name for name in ("Applications", "Apps", "Downloads", "Desktop", "bin"))]
    for folder in [*where, home / ".local" / "bin"]:
        yield from (Program(path, APP_IMAGE) for path in _listed(folder) if _is_app_image(path.name, host))


def _on_mac(host: str) -> Iterator[Program]:
    for folder in (_ROOT / "Applications", Path.home() / "Applications"):
        for path in _listed(folder):
            if path.suffix == ".app" and path.stem.lower().startswith(host.lower()) and "2." not in path.stem:
                yield Program(path, PACKAGE)


def _on_windows(host: str) -> Iterator[Program]:
    local = os.environ.get("LOCALAPPDATA")
    places = [Path(place) for name in ("PROGRAMFILES", "PROGRAMW6432") if (place := os.environ.get(name))]
    for parent in [*places, *([Path(local) / "Programs"] if local else [])]:
        for folder in _listed(parent):
            if folder.name.lower().startswith(host.lower()) and not folder.name.startswith("GIMP 2"):
                programs = [folder / "bin" / f"{name}.exe" for name in _NAMES[host]]
                yield from (Program(path, PACKAGE) for path in programs if path.exists())


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _is_app_image(name: str, host: str) -> bool:
    name = name.lower()
    return name.endswith(".appimage") and host.lower() in name and f"{host.lower()}-2." not in name


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
