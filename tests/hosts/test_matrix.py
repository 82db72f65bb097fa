"""docs/layers.md says what the tests found."""

from __future__ import annotations

import json

from tests.hosts import matrix


def test_the_page_shows_the_recorded_outcomes() -> None:
    record = json.loads(matrix.RECORD.read_text(encoding="utf-8"))
    assert matrix.PAGE.read_text(encoding="utf-8") == matrix.page(record), "run python -m tests.hosts.matrix"
