"""The environment as the user's own session has it: without what a host put there for itself."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Where Python and its libraries are, and what AppImages, snaps and the hosts' toolkits are told, concerns the host
# alone: the backend has a Python and libraries of its own.
_FOREIGN = (
    *("PYTHON", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "LD_", "DYLD_", "QT_", "QML", "KRITA", "FONTCONFIG_", "GST_"),
    *("GTK_", "GDK_", "GI_", "GIO_", "GSETTINGS_", "BABL_", "GEGL_", "GIMP"),
    *("APPIMAGE", "APPDIR", "APPRUN", "ARGV0", "OWD", "SNAP", "FLATPAK_"),
)
_SAVED = "_ORIG"
"""What launchers append to a variable's name to keep what was there before them."""
_HOME_OF_SNAP = "SNAP_REAL_HOME"
_OF_SNAP = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
"""What a snap points into its own folder."""
_BUNDLES = ("APPDIR", "SNAP")
"""Variables that name the folder in which a bundled host lies."""
_LISTS = ("PATH", "XDG_DATA_DIRS", "XDG_CONFIG_DIRS", "MANPATH")


def clean_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """A copy of an environment for a program of the user's that a host starts.

    What an AppImage, a snap or a launcher changed is as it was before, where that was kept (`NAME_ORIG`,
    SNAP_REAL_HOME); folders of the bundle are taken out of PATH and its like; the rest of what concerns the host alone
    is left out.
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
            folders = [one for one in kept[name].split(os.pathsep) if not _lies_in(one, bundles)]
            kept[name] = os.pathsep.join(folders)
    kept.update({name: value for name, value in saved.items() if value})
    return kept


def _lies_in(folder: str, bundles: list[str]) -> bool:
    return any(folder == bundle or folder.startswith(bundle.rstrip("/") + "/") for bundle in bundles)
