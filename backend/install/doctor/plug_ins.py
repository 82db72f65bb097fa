"""Checks of the hosts on this machine and of the plug-ins in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.install import gimp as in_gimp
from backend.install import installation, programs
from backend.install import krita as in_krita
from backend.thin.engine.switch import Engine
from backend.thin.engine.wheel import has_wheel
from backend.thin.installed import VARIABLE, find_command, find_engine
from backend.thin.protocol import ThinError
from gknet.errors import HarmonizeError

from .finding import ERROR, FINE, WARNING, Finding


def check_gimp() -> Iterator[Finding]:
    """Yield findings on every GIMP, and on the plug-in in each plug-ins folder."""
    yield from _check_hosts("GIMP", "3.0")
    folders = in_gimp.find_plug_in_folders()
    if not folders and programs.find_programs("GIMP"):
        yield Finding("GIMP plug-in", WARNING, *in_gimp.explain_never_started())
    for text, remedy in in_gimp.find_unstarted_versions() if folders else []:
        yield Finding("GIMP plug-in", WARNING if remedy else FINE, text, remedy)
    for folder in folders:
        plug_in = folder / in_gimp.NAME
        findings = list(_check_plug_in("GIMP", plug_in, in_gimp.PACKAGE, ()))
        main = plug_in / in_gimp.MAIN
        is_there = os.access(main, os.F_OK)  # Path.exists raises in a folder that cannot be read
        if is_there and not os.access(main, os.X_OK):
            findings.append(
                Finding(
                    "GIMP plug-in",
                    ERROR,
                    f"{main} is not executable, so GIMP ignores it.",
                    "Run `gknet install gimp` again.",
                )
            )
        elif is_there and _is_left_out(main, folder.parent / "pluginrc"):
            findings.append(
                Finding(
                    "GIMP plug-in",
                    WARNING,
                    f"GIMP left the plug-in out of its menus when it last started, because it could not run {main}.",
                    "Start GIMP from a terminal to see why. Usually the first python3 on its PATH lacks PyGObject "
                    "(`import gi` fails), such as that of a virtual environment or of conda.",
                )
            )
        yield from findings


def _is_left_out(main: Path, register: Path) -> bool:
    """Return whether GIMP has been started since the plug-in was installed, but did not register it.

    register: GIMP's `pluginrc`, which it writes after it has queried plug-ins.
    """
    try:
        asked = register.stat().st_mtime > main.stat().st_mtime
        return asked and main.name not in register.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def check_krita() -> Iterator[Finding]:
    """Yield findings on every Krita, and on the plug-in in each data folder."""
    yield from _check_hosts("Krita", "5.2")
    for place in in_krita.find_places():
        folder = in_krita.get_plug_in_folder(place.data)
        yield from _check_plug_in("Krita", folder, in_krita.PACKAGE, in_krita.BESIDE)
        if not os.access(folder, os.F_OK) or place.settings is None:
            continue
        if in_krita.is_enabled(place.settings):
            yield Finding("Krita plug-in", FINE, f"It is enabled in {place.settings}.")
        else:
            yield Finding(
                "Krita plug-in",
                ERROR,
                f"It is disabled in {place.settings}.",
                f"Tick Harmonize in {in_krita.WHERE_ENABLED}, or run `gknet install krita`; then start Krita again.",
            )


def _check_hosts(name: str, oldest: str) -> Iterator[Finding]:
    """Yield findings on every program of a host, and whether its version was tested."""
    found = programs.find_programs(name)
    if not found:
        remedy = f"Install {name} {oldest} or newer if you want to use it, then run `gknet install {name.lower()}`."
        yield Finding(name, WARNING, f"{name} was not found on this machine.", remedy)
    for program in found:
        if programs.is_newer_than_tested(name, program.version):
            text = f"{program}: newer than {programs.NEWEST_TESTED[name]}, the newest tested version."
            remedy = "If something does not work, look for a newer version of GKNet Harmonize."
            yield Finding(name, WARNING, text, remedy)
        else:
            yield Finding(name, FINE, f"{program}.")


def _check_plug_in(host: str, folder: Path, package: str, beside: tuple[str, ...]) -> Iterator[Finding]:
    """Yield findings on whether a plug-in is installed, complete, current and able to start its backend."""
    subject, install = f"{host} plug-in", f"Run `gknet install {host.lower()}`, then start {host} again."
    if not os.access(folder, os.F_OK):
        yield Finding(subject, WARNING, f"It is not installed in {folder.parent}.", install)
        return
    if has_wheel(folder / "wheel"):
        install = f"Install the plug-in from its archive again, then start {host} again."
    try:
        record = installation.read_record(folder)
        differing = installation.find_differences(package, folder, beside)
    except HarmonizeError as error:
        yield Finding(subject, ERROR, error.message, install)
        return
    ours = installation.get_version()
    if record.get("version") != ours:
        text = f"{folder} contains version {record.get('version') or 'unknown'}, but this is {ours}."
        yield Finding(subject, ERROR, text, install)
    elif differing:
        names = ", ".join(differing[:3]) + (", …" if len(differing) > 3 else "")
        yield Finding(subject, ERROR, f"Files in {folder} have changed or are missing: {names}.", install)
    else:
        yield Finding(subject, FINE, f"{ours} in {folder}.")
    yield from _check_start_command(subject, record, install)


def _check_start_command(subject: str, record: dict[str, Any], install: str) -> Iterator[Finding]:
    """Yield findings on whether the command that starts the backend exists."""
    command = record.get("command")
    if command is not None:
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            yield Finding(subject, ERROR, "The start command in its record is invalid.", install)
        elif shutil.which(command[0]) is None:
            text = f"It starts the backend with {command[0]}, which no longer exists."
            yield Finding(subject, ERROR, text, install)
    elif find_command() is None and _find_engine() is None:
        text = "It has no start command, and `gknet` was not found on PATH or in the usual folders."
        yield Finding(subject, WARNING, text, f"{install} Or set GKNET_COMMAND to the command.")


def check_engine() -> Iterator[Finding]:
    """Yield findings on the engine that a plug-in installed, and on which command the plug-ins use and why."""
    try:
        engine = find_engine()
    except ThinError as error:
        yield Finding("engine", ERROR, error.message, "Install it again in the plug-in's dialog, or remove it there.")
        return
    if engine is None:
        yield Finding("engine", FINE, "No plug-in has installed one. It is needed only without a `gknet` command.")
        return
    text = f"{engine.version} with PyTorch's {engine.build} build in {engine.path}."
    named, found = os.environ.get(VARIABLE), find_command()
    if named:
        yield Finding("engine", FINE, f"{text} Plug-ins use {named} instead, because {VARIABLE} names it.")
    elif found is not None:
        yield Finding(
            "engine", FINE, f"{text} Plug-ins without a start command use {found} instead, which comes first."
        )
    else:
        yield Finding("engine", FINE, f"{text} Plug-ins without a start command use it.")


def _find_engine() -> Engine | None:
    """Return the engine that a plug-in installed, None if there is none that can be used."""
    try:
        return find_engine()
    except ThinError:
        return None  # `check_engine` reports it
