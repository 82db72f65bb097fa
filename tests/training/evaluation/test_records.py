"""Scores in a file come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.evaluation.metrics import Record, Scores
from training.evaluation.records import read_records, write_records
from training.evaluation.text_files import replace_text_file

RECORDS = [
    Record("a,b\n", "mkl", 0.25, Scores(1.5, 30.25, 6.0), Scores(0.5, 35.5, 2.0)),
    Record('"quoted"', "light", 0.5, Scores(0.0, 100.0, 0.0), Scores(1.0, 48.0, 2.0)),
]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with replace_text_file(path) as file:
        write_records(file, RECORDS)
        assert not path.exists()
    assert read_records(path) == RECORDS
    assert list(tmp_path.iterdir()) == [path]


def test_another_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.csv is not a scores file"):
        read_records(path)
    path.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a scores file"):
        read_records(path)
    with pytest.raises(FileNotFoundError):
        read_records(tmp_path / "missing.csv")
