"""The sheet that a person looks at before trusting the synthesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from training.data.synthesis.__main__ import SIZE
from training.data.synthesis.scenes import RENDERINGS
from training.data.synthesis.wide import WIDE_KINDS

ROOT = Path(__file__).parents[4]


def test_the_sheet_shows_a_row_a_photograph(pool: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.data.synthesis", "--pool", str(pool), "--photographs", "2"]
    subprocess.run([*command, "--sheet", str(tmp_path / "sheet.png")], cwd=ROOT, check=True, capture_output=True)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width >= (1 + len(WIDE_KINDS) + len(RENDERINGS)) * SIZE
        assert 2 * SIZE < sheet.height < 3 * SIZE
