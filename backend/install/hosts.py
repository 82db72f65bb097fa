"""The hosts that a plug-in can be put into, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from backend.install import gimp, krita, programs
from gknet.errors import HarmonizeError, InputError


class Host(Protocol):
    """Where one host keeps its plug-ins.

    install, uninstall: return what to tell the user, line by line, or raise HarmonizeError.
    has_been_started: whether the user has settings of it.
    """

    def install(self, dest: Path | None) -> list[str]: ...

    def uninstall(self, dest: Path | None) -> list[str]: ...

    def has_been_started(self) -> bool: ...


_HOSTS: dict[str, tuple[str, Host]] = {"gimp": ("GIMP", gimp), "krita": ("Krita", krita)}


def choose_hosts(name: str, dest: Path | None) -> list[Host]:
    """The host "gimp" or "krita", or both: "all". Raises InputError if one folder is named for both."""
    if name == "all" and dest is not None:
        raise InputError("One folder cannot be that of GIMP and of Krita.", "Name the host that --dest belongs to.")
    return [host for short, (_, host) in _HOSTS.items() if name in (short, "all")]


def find_hosts(dest: Path | None) -> list[Host]:
    """Those hosts that are on this machine. Raises HarmonizeError if none is, InputError if a folder is named."""
    choose_hosts("all", dest)
    there = [host for program, host in _HOSTS.values() if programs.find_programs(program) or host.has_been_started()]
    if not there:
        raise HarmonizeError(
            "Neither GIMP nor Krita was found on this machine.",
            "Install GIMP 3 and start it once, or run `gknet install krita`: Krita finds the plug-in later.",
        )
    return there
