"""The sheet that a person looks at before trusting the synthesis."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.training.calling import call_command
from training.data.synthesis import __main__ as command
from training.data.synthesis.__main__ import SIZE
from training.data.synthesis.scenes import RENDERINGS
from training.data.synthesis.wide import WIDE_KINDS


@pytest.mark.integration  # the sheet is large
def test_the_sheet_shows_a_row_a_photograph(pool: Path, tmp_path: Path) -> None:
    given = ["--pool", pool, "--photographs", "2", "--sheet", tmp_path / "sheet.png"]
    assert call_command(command.main, *given).code == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width >= (1 + len(WIDE_KINDS) + len(RENDERINGS)) * SIZE
        assert 2 * SIZE < sheet.height < 3 * SIZE
