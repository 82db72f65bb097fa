"""docs/troubleshooting.md explains every error that a user can meet, and no other."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from backend.thin import protocol
from gknet.errors import HarmonizeError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def error_classes() -> set[type[HarmonizeError]]:
    """Return HarmonizeError and its subclasses in gknet and backend, wherever they are defined."""
    for package in ("gknet", "backend"):
        for path in (ROOT / package).rglob("*.py"):
            if re.search(r"^class \w+Error\(", path.read_text(encoding="utf-8"), re.MULTILINE):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found, waiting = {HarmonizeError}, [HarmonizeError]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found.update(subclasses)
        waiting += subclasses
    return {one for one in found if one.__module__.split(".")[0] in ("gknet", "backend")}


def protocol_codes() -> set[str]:
    """Return the codes that the protocol names in capitals, such as BAD_REQUEST."""
    return {value for name, value in vars(protocol).items() if name.isupper() and isinstance(value, str)}


def page_codes() -> set[str]:
    """Return the codes in the first column of the page's tables."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))


def page_classes() -> set[str]:
    return set(re.findall(r"`(\w+Error)`", PAGE))


def test_every_error_class_is_explained_by_its_name_or_by_a_code_of_its_own() -> None:
    explained = {
        one for one in error_classes() if one.__name__ in page_classes() or vars(one).get("code") in page_codes()
    }
    assert len(explained) > 5
    assert error_classes() - explained == set()


def test_every_code_of_the_protocol_is_explained_and_no_other() -> None:
    assert page_codes() == protocol_codes()


def test_the_page_names_no_class_that_does_not_exist() -> None:
    assert page_classes() - {one.__name__ for one in error_classes()} == set()


def test_each_class_stands_beside_the_code_that_it_has() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| `(\w+Error)` \|", PAGE, re.MULTILINE)
    codes = {one.__name__: one.code for one in error_classes()}
    stated = {name: code for code, name in rows}
    assert len(stated) > 10
    assert stated == {name: codes[name] for name in stated}
