"""The environment of the user's session, without the variables that a host sets for itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from .protocol import BACKEND_UNAVAILABLE, ThinError

# Variables for Python, libraries, AppImages, snaps and the hosts' toolkits concern only the host: the backend has its
# own Python and libraries.
_FOREIGN = (
    *("PYTHON", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "LD_", "DYLD_", "QT_", "QML", "KRITA", "FONTCONFIG_", "GST_"),
    *("GTK_", "GDK_", "GI_", "GIO_", "GSETTINGS_", "BABL_", "GEGL_", "GIMP"),
    *("APPIMAGE", "APPDIR", "APPRUN", "ARGV0", "OWD", "SNAP", "FLATPAK_"),
)
_SAVED = "_ORIG"
"""Suffix of the variables in which launchers save the previous values."""
_HOME_OF_SNAP = "SNAP_REAL_HOME"
_OF_SNAP = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
"""Variables that a snap redirects to its own folder."""
_BUNDLES = ("APPDIR", "SNAP")
"""Variables with the folder of a bundled host."""
_LISTS = ("PATH", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS", "MANPATH")


def clean_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return a copy of an environment, cleaned for a program that a host starts.

    Restore variables that an AppImage, a snap or a launcher changed and saved (`NAME_ORIG`, SNAP_REAL_HOME).
    Remove the bundle's folders from PATH and similar lists, and all other variables that concern only the host.
    """
    saved = {name[: -len(_SAVED)]: value for name, value in given.items() if name.endswith(_SAVED)}
    kept = {name: value for name, value in given.items() if not name.startswith(_FOREIGN) and not name.endswith(_SAVED)}
    bundles = [given[name] for name in _BUNDLES if given.get(name, "").startswith("/")]
    if given.get(_HOME_OF_SNAP):
        kept["HOME"] = given[_HOME_OF_SNAP]
        for name in _OF_SNAP:
            kept.pop(name, None)
    for name in _LISTS:
        if name in kept:
            folders = [one for one in kept[name].split(os.pathsep) if not _is_inside(one, bundles)]
            kept[name] = os.pathsep.join(folders)
    kept.update({name: value for name, value in saved.items() if value})
    return kept


def find_home() -> Path:
    """Return the user's home folder, also inside a snap. Raise ThinError (`backend_unavailable`) if it is unknown."""
    named = clean_environment().get("HOME")
    try:
        return Path(named) if named else Path.home()
    except RuntimeError as error:
        message = "The path of your home folder is unknown."
        raise ThinError(
            BACKEND_UNAVAILABLE, message, "Set HOME to the path of your home folder, then try again."
        ) from error


def hide_home(text: str) -> str:
    """Return a text with ~ for the path of the home folder, if that is known."""
    try:
        homes = {str(find_home()), str(Path.home())}  # a snap's and the user's own
    except (RuntimeError, ThinError):
        return text
    for home in homes:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text
    return text


def _is_inside(folder: str, bundles: list[str]) -> bool:
    return any(folder == bundle or folder.startswith(bundle.rstrip("/") + "/") for bundle in bundles)
