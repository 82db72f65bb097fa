"""Error texts are plain English: none of the phrases that read like a translation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STOP_LIST = re.compile(r"\b(is no|is not there|what is|at hand)\b")


def error_texts(source: str) -> Iterator[str]:
    """Yield the texts in calls of error classes, and of functions that are named for the errors they make."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name.endswith("Error") or re.match(r"_?make_\w*(error|request)", name):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


@pytest.mark.parametrize("package", ["gknet", "backend", "plugin_gimp", "plugin_krita", "training"])
def test_no_error_text_reads_like_a_translation(package: str) -> None:
    texts = [text for path in (ROOT / package).rglob("*.py") for text in error_texts(path.read_text(encoding="utf-8"))]
    assert len(texts) > 5
    assert [text for text in texts if STOP_LIST.search(text)] == []


def test_texts_are_found_in_strings_of_every_form() -> None:
    source = 'raise InputError(f"{x} is no picture.", "Give " "what is one.")'
    assert sum(STOP_LIST.search(text) is not None for text in error_texts(source)) == 2
