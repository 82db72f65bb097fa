"""Reading shards: what is there, and a clear word for what is not."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from gknet import PictureError
from training.shards import find_shards, is_validation, read_photographs
from training.validation import validation_samples


def test_splits_are_fixed_and_disjoint(pool: Path) -> None:
    shards = find_shards([pool])
    train = read_photographs(shards, 32, validation=False)
    held_out = read_photographs(shards, 32, validation=True)
    assert (len(train.keys), len(held_out.keys)) == (12, 4)
    assert not set(train.keys) & set(held_out.keys)
    # The split may never move: weights are judged on photographs they were not trained on.
    assert [is_validation(f"key_{number}") for number in range(5)] == [False, True, False, False, True]
    share = sum(is_validation(f"key_{i}") for i in range(20_000)) / 20_000
    assert share == pytest.approx(0.0474, abs=0.005)


def test_every_photograph_owns_its_masks(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), 32, validation=False)
    assert photographs.pictures.shape == (12, 3, 32, 32)
    assert set(np.unique(photographs.masks)) == {0, 255}
    owned = np.concatenate(photographs.masks_of)
    assert sorted(owned) == list(range(len(photographs.masks)))
    assert all(len(masks) for masks in photographs.masks_of)


def test_masks_outside_the_share_are_left_out(pool: Path) -> None:
    with pytest.raises(PictureError, match="No photograph with a usable mask"):
        read_photographs(find_shards([pool]), 32, validation=False, mask_share=(0.9, 1.0))


def test_damaged_shards_and_members_are_named(pool: Path, tmp_path: Path) -> None:
    whole = find_shards([pool])[0].read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(PictureError, match=r"cut\.tar"):
        read_photographs(find_shards([tmp_path]), 32, validation=False)
    with tarfile.open(tmp_path / "cut.tar", "w") as archive:
        member = tarfile.TarInfo("free_1.webp")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    with pytest.raises(PictureError, match=r"free_1\.webp in .*cut\.tar"):
        read_photographs(find_shards([tmp_path]), 32, validation=is_validation("free_1"))


def test_validation_samples_are_always_the_same(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), 64, validation=True)
    first, second = (list(validation_samples(photographs)) for _ in range(2))
    assert len(first) > 12
    for one, other in zip(first, second, strict=True):
        assert (one.key, one.kind) == (other.key, other.kind)
        assert np.array_equal(one.composite, other.composite)
        assert np.array_equal(one.composite[~one.mask], one.real[~one.mask])
