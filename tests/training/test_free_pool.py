"""The pool of photographs that may be published."""

from __future__ import annotations

from pathlib import Path

from tests.free_pool import objects, write
from training.data.sample import MASK_SHARE, SIZE
from training.data.shards import find_shards, read_photographs

ROOT = Path(__file__).parents[2]


def test_every_photograph_is_read_for_validation_with_its_one_mask(tmp_path: Path) -> None:
    write(tmp_path)
    photographs = read_photographs(find_shards([tmp_path]), SIZE, validation=True, mask_share=MASK_SHARE)
    assert {key.split("_")[0] for key in photographs.keys} == set(objects())
    assert len(photographs.masks) == len(photographs.keys)


def test_every_photographer_is_credited() -> None:
    credits = (ROOT / "docs" / "CREDITS.md").read_text(encoding="utf-8")
    for name in objects():
        assert f"`{name}`" in credits
