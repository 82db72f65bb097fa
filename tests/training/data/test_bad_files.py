"""Bad files end a run, or are left out, counted and named."""

from __future__ import annotations

import pytest

from gknet import PictureError
from training.data.bad_files import NAMED, BadFiles


def test_the_first_bad_file_ends_a_run() -> None:
    error = PictureError("a.png is missing.")
    bad = BadFiles(skip=False)
    with pytest.raises(PictureError) as caught:
        bad.raise_or_count(error)
    assert caught.value is error


def test_files_left_out_are_counted_once_and_the_first_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    bad = BadFiles(skip=True)
    bad.print_summary()
    assert capsys.readouterr().err == ""
    bad.raise_or_count(PictureError("0.png is missing.", "A hint."))
    bad.print_summary()
    assert capsys.readouterr().err == "left out 1 bad file:\n  0.png is missing.\n"
    for _ in range(2):
        for number in range(NAMED + 2):
            bad.raise_or_count(PictureError(f"{number}.png is missing."))
    assert bad.count == NAMED + 2
    bad.print_summary()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"left out {NAMED + 2} bad files:"
    assert lines[1:-1] == [f"  {number}.png is missing." for number in range(NAMED)]
    assert lines[-1] == "  and 2 more"
