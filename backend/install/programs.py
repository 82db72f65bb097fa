"""Finding GIMP and Krita on this machine, however they were installed."""

from __future__ import annotations

import functools
import os
import plistlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE, FLATPAK, SNAP, APP_IMAGE = "package", "Flatpak", "snap", "AppImage"

NEWEST_TESTED = {"GIMP": "3.2", "Krita": "6.0"}
"""Newest versions with which the tests in the real programs passed."""

_ROOT = Path("/")
_NAMES = {"GIMP": ("gimp", "gimp-3", "gimp-3.0", "gimp-3.2"), "Krita": ("krita",)}
_FLATPAKS = {"GIMP": "org.gimp.GIMP", "Krita": "org.kde.krita"}
_OLD = re.compile(r"gimp-2\.\d+")
"""Target of the link `gimp` for GIMP 2."""
_VERSION = re.compile(r"(?<![\d.])\d+\.\d+(?:\.\d+)*")
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Program:
    """An installed host.   path: the program.   kind: PACKAGE, FLATPAK, SNAP or APP_IMAGE."""

    path: Path
    kind: str

    @property
    def version(self) -> str:
        """The version, such as "3.2.6"; "" if it is unknown."""
        return _find_version(self.path, self.kind)

    def __str__(self) -> str:
        return f"{self.version or 'unknown version'}, {self.path} ({self.kind})"


def find_programs(host: str) -> list[Program]:
    """Return every installed "GIMP" (3 or newer) or "Krita", system-wide or in the user's home, without duplicates."""
    search = {"win32": _search_windows, "darwin": _search_mac}.get(sys.platform, _search_linux)
    found: dict[Path, Program] = {}
    for program in search(host):
        target = Path(os.path.realpath(program.path))  # unlike Path.resolve, it doesn't fail for links in a circle
        # All links in /snap/bin have the same target: the program that starts every snap.
        found.setdefault(program.path if program.kind == SNAP else target, program)
    return [program for program in found.values() if not (host == "GIMP" and _is_older_than_3(program.version))]


def describe_programs(host: str) -> list[str]:
    """Return one line for the user about each program found."""
    return [f"Found {host} {program}." for program in find_programs(host)] or [f"{host} was not found on this machine."]


def get_release_series(version: str) -> str:
    """Return the part of a version that names its settings folder: "3.2" for "3.2.6", "" for ""."""
    return ".".join(version.split(".")[:2])


def is_newer_than_tested(host: str, version: str) -> bool:
    """Return whether a version's series is newer than the newest tested one."""
    series, newest = get_release_series(version), NEWEST_TESTED[host]
    return bool(series) and _parse_numbers(series) > _parse_numbers(newest)


def _search_linux(host: str) -> Iterator[Program]:
    home = Path.home()
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [_ROOT / "usr" / "bin", _ROOT / "usr" / "local" / "bin"]
    snaps = _ROOT / "snap" / "bin"
    for folder in dict.fromkeys(folders):
        for name in _NAMES[host] if folder != snaps else ():
            path = folder / name
            if _is_program(path) and not _OLD.fullmatch(Path(os.path.realpath(path)).name):
                yield Program(path, PACKAGE)
    if _is_program(snaps / host.lower()):
        yield Program(snaps / host.lower(), SNAP)
    for base in (_ROOT / "var" / "lib" / "flatpak", home / ".local" / "share" / "flatpak"):
        path = base / "exports" / "bin" / _FLATPAKS[host]
        if os.path.lexists(path):
            yield Program(path, FLATPAK)
    where = [home, _ROOT / "opt", *(home / name for name in ("Applications", "Apps", "Downloads", "Desktop", "bin"))]
    for folder in [*where, home / ".local" / "bin"]:
        yield from (Program(path, APP_IMAGE) for path in _list_folder(folder) if _is_app_image(path.name, host))


def _search_mac(host: str) -> Iterator[Program]:
    for folder in (_ROOT / "Applications", Path.home() / "Applications"):
        for path in _list_folder(folder):
            if path.suffix == ".app" and path.stem.lower().startswith(host.lower()) and "2." not in path.stem:
                yield Program(path, PACKAGE)


def _search_windows(host: str) -> Iterator[Program]:
    local = os.environ.get("LOCALAPPDATA")
    places = [Path(place) for name in ("PROGRAMFILES", "PROGRAMW6432") if (place := os.environ.get(name))]
    for parent in [*places, *([Path(local) / "Programs"] if local else [])]:
        for folder in _list_folder(parent):
            if folder.name.lower().startswith(host.lower()) and not folder.name.startswith("GIMP 2"):
                programs = [folder / "bin" / f"{name}.exe" for name in _NAMES[host]]
                yield from (Program(path, PACKAGE) for path in programs if os.access(path, os.F_OK))


@functools.cache  # a program may take long to answer
def _find_version(path: Path, kind: str) -> str:
    """Return a version such as "3.2.6"; "" if it is unknown."""
    found = _VERSION.search(_read_version_text(path, kind))
    return found[0] if found else ""


def _read_version_text(path: Path, kind: str) -> str:
    """Return a text that contains a program's version, or "". Only start programs that end at once."""
    if kind == APP_IMAGE:
        return path.name
    if kind == SNAP:
        return _read_version_line(_ROOT / "snap" / path.name / "current" / "meta" / "snap.yaml")
    if kind == FLATPAK:
        return _run_program(["flatpak", "info", path.name])
    if path.suffix == ".app":
        try:
            facts = plistlib.loads((path / "Contents" / "Info.plist").read_bytes())
        except (OSError, plistlib.InvalidFileException):
            return ""
        return str(facts.get("CFBundleShortVersionString", ""))
    return _run_program([str(path), "--version"])


def _run_program(words: list[str]) -> str:
    """Return a program's output about its version; "" if it can't be run."""
    environment = {**os.environ, "LC_ALL": "C"}
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        environment["QT_QPA_PLATFORM"] = "offscreen"  # Krita's Qt needs a display even for this
    try:
        done = subprocess.run(words, env=environment, capture_output=True, timeout=_ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return _find_version_line(done.stdout.decode("utf-8", "replace"))


def _read_version_line(file: Path) -> str:
    try:
        return _find_version_line(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""


def _find_version_line(text: str) -> str:
    """Return the line that starts with "version:", or all lines if there is none."""
    return next((line for line in text.splitlines() if line.strip().lower().startswith("version:")), text)


def _is_older_than_3(version: str) -> bool:
    return bool(version) and int(version.partition(".")[0]) < 3


def _parse_numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _is_program(path: Path) -> bool:
    return os.access(path, os.X_OK) and path.is_file()  # is_file raises in a folder that cannot be read


def _is_app_image(name: str, host: str) -> bool:
    name = name.lower()
    return name.endswith(".appimage") and name.startswith((f"{host.lower()}-", f"{host.lower()}_", f"{host.lower()}."))


def _list_folder(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
