"""docs/model.md names code that is there, and its figure is what the script draws."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")

REFERENCES = re.findall(r"`(\w+)` \(\[([\w/.]+):(\d+)\]\(\.\./([\w/.]+)#L(\d+)\)\)", PAGE)
"""Name, path and line as shown, path and line of the link."""


def test_no_reference_is_written_in_another_form() -> None:
    assert len(REFERENCES) == len(re.findall(r"\.py:\d+", PAGE)) == PAGE.count(".py#L") > 20


@pytest.mark.parametrize(("name", "path", "line", "link_path", "link_line"), sorted(set(REFERENCES)))
def test_a_reference_is_the_line_of_its_definition(
    name: str, path: str, line: str, link_path: str, link_line: str
) -> None:
    assert (path, line) == (link_path, link_line)
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    defined = [number for number, text in enumerate(lines, start=1) if re.match(rf"\s*(class|def) {name}\b", text)]
    assert int(line) in defined, f"{name} is defined in {path} at line {defined}"


@pytest.mark.parametrize("equation", [*(f"Eq. {number}" for number in range(1, 8)), "Table 4"])
def test_every_equation_has_a_row_that_names_code(equation: str) -> None:
    (row,) = re.findall(rf"^\| {equation} \|.*$", PAGE, re.MULTILINE)
    assert ".py#L" in row


def test_the_figure_is_what_the_script_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_model.py"))["draw"]()
    assert (ROOT / "docs" / "model.svg").read_text(encoding="utf-8") == drawn
