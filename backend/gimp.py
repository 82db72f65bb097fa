"""GIMP's plug-in folders, and our plug-in in them."""

from __future__ import annotations

from pathlib import Path


def install(dest: Path | None) -> list[str]:
    raise NotImplementedError


def uninstall(dest: Path | None) -> list[str]:
    raise NotImplementedError
