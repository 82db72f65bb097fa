"""Every error text of ours, read from the code: with … for what is filled in."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("gknet", "backend", "plugin_gimp", "plugin_krita")
OF_OTHERS = ("gknet/batch", "gknet/cli/batch.py", "gknet/network/config.py")
"""What has a page of its own, and what only a network in training meets."""
GAP = "…"
_AFTER_A_CODE = ("ThinError", "NoAnswerError")
_HELPERS = ("_bad",)
"""Functions that make an error of a text."""


def raised() -> dict[str, str]:
    """What each of our own errors says went wrong, where that is written as it is made; and that place."""
    found: dict[str, str] = {}
    for file, tree in _files():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_error(name := _name(node.func)):
                place = 1 if name in _AFTER_A_CODE else 0
                text = text_of(node.args[place]) if len(node.args) > place else None
                if text is not None:
                    found.setdefault(text, f"{file}:{node.lineno}")
    return found


def written() -> set[str]:
    """Every text in the code, whatever it is for."""
    return {text for _, tree in _files() for node in ast.walk(tree) if (text := text_of(node))}


def text_of(node: ast.AST) -> str | None:
    """A text of the code as a user meets it; None for what is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _plain(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
        return _plain("".join(parts))
    return None


def _plain(text: str) -> str:
    return re.sub(f"{GAP}+", GAP, " ".join(text.replace("....", "…").split()))


def _files() -> Iterator[tuple[str, ast.AST]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(OF_OTHERS):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _is_error(name: str) -> bool:
    return name in _HELPERS or (name.endswith("Error") and not hasattr(builtins, name))
