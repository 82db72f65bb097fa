"""A batch that a CSV file lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gknet.batch.manifest import read_jobs
from gknet.errors import InputError
from tests.gknet import many

pytestmark = pytest.mark.integration

Run = Callable[..., tuple[int, str, str]]


def test_a_table_says_what_is_made_of_what(
    run: Run, tmp_path: Path, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    (tmp_path / "set").mkdir()
    many.write(tmp_path / "set", 1, suffix=".png", side=320)
    Image.fromarray(np.dstack([photograph, object_mask])[::2, ::2]).save(tmp_path / "set" / "cut out.png")
    Image.fromarray(photograph[::-1]).save(tmp_path / "set" / "room.png")
    table = tmp_path / "set" / "list.csv"
    table.write_text(
        "output;foreground;background;x;y;scale;composite;mask\n"
        "a/pasted.png;cut out.png;room.png;40;-30;0.5;;\n"
        ";;;;;;;\n"
        "whole.png;;;;;;000.png;000_mask.png\n",
        encoding="utf-8-sig",
    )
    assert run("batch", "set/list.csv", "out") == (0, "Wrote 2 pictures.\n", "")
    alone = ("--foreground", "set/cut out.png", "--background", "set/room.png", "--at", "40,-30", "--scale", "0.5")
    assert run("harmonize", *alone, "-o", "alone.png")[0] == 0
    pasted, expected = (np.asarray(Image.open(tmp_path / name), int) for name in ("out/a/pasted.png", "alone.png"))
    assert np.abs(pasted - expected).max() <= 1
    assert run("harmonize", "set/000.png", "set/000_mask.png", "-o", "alone.png")[0] == 0
    whole, expected = (np.asarray(Image.open(tmp_path / name), int) for name in ("out/whole.png", "alone.png"))
    assert np.abs(whole - expected).max() <= 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("composite,mask\na.png,b.png\n", "has no column output"),
        ("output,composite,color\na.png,b.png,red\n", "'color'"),
        ("output,composite\n", "no rows"),
        ("output,composite,mask\nfirst,a.png,b.png\n", "line 2: the output 'first' cannot be written: its name has no"),
        ("output,composite\na.png,b.png\n\nA.png,b.png\n", "line 4: line 2 has the same output 'A.png'"),
        ("output,composite,mask\na.ora,a.png,b.png\n", "'a.ora' cannot be written: the suffix .ora means a file with"),
        ("output,composite\na.heic,a.ora\n", "'a.heic' cannot be written: the suffix .heic means a format that can"),
        ("output,composite\na.png,b.png,c.png\n", "line 2: more values than columns"),
        ("output,foreground\na.png,b.png\n", "line 2: the inputs do not form a scene"),
        ("output,composite,x\na.png,b.png,3\n", "line 2: x, y and scale do not apply"),
        ("output,composite\n../a.png,b.png\n", "line 2: invalid output"),
        ("output,composite\n/a.png,b.png\n", "line 2: invalid output"),
        ("output,composite\n.a/b.png,b.png\n", "would be hidden"),
        ("output,foreground,background,x\na.png,b.png,c.png,left\n", "line 2: x, y or scale is not a number"),
        ("output,foreground,background,scale\na.png,b.png,c.png,0\n", "line 2: invalid scale 0"),
        ("output,composite\na.png,b.png\nc.png," + "d" * 140_000 + "\n", "line 3: invalid CSV (field larger than"),
        ('output,composite\na.png,b.png\n"c.png,d.png\n', "line 3: invalid CSV (unexpected end of data)"),
        ('output,composite\n\n\n"c.png,d.png\n\ne.png,f.png\n', "line 4: invalid CSV (unexpected end of data)"),
        ("output,composite\n\n\na.png,b.png,c.png\n", "line 4: more values than columns"),
        ('"output,composite\na.png,b.png\n', "line 1: invalid CSV (unexpected end of data)"),
        ("output,composite\na.png,b\0.png\n", "line 2: composite contains a NUL character"),
        ("output,composite\na\0.png,b.png\n", "line 2: output contains a NUL character"),
    ],
)
def test_a_table_that_is_not_clear_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read_jobs(tmp_path / "list.csv")
    assert told in refusal.value.message
    assert refusal.value.hint
