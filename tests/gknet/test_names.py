"""Public functions, methods and classes are named by verbs and nouns, not by bare participles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = ("gknet", "backend", "training", "plugin_gimp", "plugin_krita")

PARTICIPLES = frozenset(  # a string, as a list of so many words would take a line for each
    """
    begun bought bound brought built caught chosen done drawn felt forgotten fought found frozen given gone grown heard
    held hidden kept known laid learnt led left lent lost made meant met overheard paid said seen sent shown sold spent
    spoken stood struck swollen taken taught thought thrown told understood undone withdrawn won worn written
    """.split()  # noqa: SIM905
)
"""Irregular participles; the regular ones end in -ed."""
NOT_PARTICIPLES = {"embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed", "succeed"}


def is_participle(name: str) -> bool:
    word = name.lower()
    return word in PARTICIPLES or ("_" not in word and word.endswith("ed") and word not in NOT_PARTICIPLES)


def public_names(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each public function, method and class of a body: its name, and its name with what contains it."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, f"{prefix}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from public_names(node.body, f"{prefix}.{node.name}")


def participles_in(source: str, module: str) -> list[str]:
    return [full for name, full in public_names(ast.parse(source).body, module) if is_participle(name)]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_a_bare_participle(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = [
        name
        for file in files
        for name in participles_in(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT).with_suffix("")))
    ]
    assert found == []


def test_participles_are_found_in_functions_methods_and_classes() -> None:
    source = """
def merged(): ...
def merge(): ...
def told(): ...
def _held(): ...
def is_known(): ...
class Recognized:
    def embed(self): ...
    async def shifted(self): ...
"""
    assert participles_in(source, "m") == ["m.merged", "m.told", "m.Recognized", "m.Recognized.shifted"]
