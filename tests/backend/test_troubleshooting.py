"""The page of errors and the code say the same: no text on it has gone, and none of ours is missing from it."""

from __future__ import annotations

import re

from tests.backend.error_texts import ROOT, raised, written

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
FIRST_SECTION = "## The backend"
"""What comes before is no text of ours, but what is seen."""
HEADINGS = {"It says", "---"}


def documented() -> list[str]:
    """The texts in the first column of the page's tables."""
    rows = re.findall(r"^\| (.*?) \|", PAGE[PAGE.index(FIRST_SECTION) :], re.MULTILINE)
    return [text.strip() for row in rows if row not in HEADINGS for text in row.split("<br>")]


def test_every_documented_text_is_one_of_the_codes() -> None:
    texts = documented()
    assert len(texts) > 100
    code = written()
    missing = [text for text in texts if text not in code and not any(one.endswith(text) for one in code)]
    assert missing == []


def test_every_error_of_ours_is_documented() -> None:
    page = set(documented())
    missing = {text: place for text, place in raised().items() if text not in page}
    assert missing == {}


def test_no_text_is_documented_twice() -> None:
    texts = documented()
    assert sorted(texts) == sorted(set(texts))
