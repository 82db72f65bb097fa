"""The hosts that have a plug-in, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from backend.install import gimp, krita, programs
from gknet.errors import HarmonizeError, InputError


class Host(Protocol):
    """A host that plug-ins can be installed in.

    install, uninstall: return lines to show to the user, or raise HarmonizeError.
    has_been_started: whether the user has settings of the host.
    """

    def install(self, dest: Path | None) -> list[str]: ...

    def uninstall(self, dest: Path | None) -> list[str]: ...

    def has_been_started(self) -> bool: ...


_HOSTS: dict[str, tuple[str, Host]] = {"gimp": ("GIMP", gimp), "krita": ("Krita", krita)}


def choose_hosts(name: str, dest: Path | None) -> list[Host]:
    """Return the host "gimp" or "krita", or both for "all". Raise InputError if one folder is given for both."""
    if name == "all" and dest is not None:
        raise InputError("One folder cannot be used for both GIMP and Krita.", "Name the host that --dest belongs to.")
    return [host for short, (_, host) in _HOSTS.items() if name in (short, "all")]


def find_hosts(dest: Path | None) -> list[Host]:
    """Return the hosts on this machine. Raise HarmonizeError if there are none, InputError if a folder is given."""
    choose_hosts("all", dest)
    there = [host for program, host in _HOSTS.values() if programs.find_programs(program) or host.has_been_started()]
    if not there:
        raise HarmonizeError(
            "Neither GIMP nor Krita was found on this machine.",
            "Install GIMP 3 and start it once, or run `gknet install krita` even before you install Krita.",
        )
    return there
