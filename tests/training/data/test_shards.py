"""Reading shards: what is there, and a clear word for what is not."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gknet import PictureError
from training.data.bad_files import BadFiles
from training.data.judging_sets.validation import make_validation_samples
from training.data.shards import find_shards, is_validation, read_photographs


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
    assert photographs.masks.dtype == np.uint8
    assert {0, 255} < set(np.unique(photographs.masks))  # and shares in between, along the edges
    owned = np.concatenate(photographs.masks_of)
    assert sorted(owned) == list(range(len(photographs.masks)))
    assert all(len(masks) for masks in photographs.masks_of)


def test_masks_outside_the_share_are_left_out(pool: Path) -> None:
    with pytest.raises(PictureError, match="No photograph with a usable mask"):
        read_photographs(find_shards([pool]), 32, validation=False, mask_share=(0.9, 1.0))


def rewritten(pool: Path, path: Path, changed: dict[str, bytes]) -> list[Path]:
    """The pool's shard with other contents for some members."""
    with tarfile.open(find_shards([pool])[0]) as old, tarfile.open(path, "w") as new:
        for member in old:
            handle = old.extractfile(member)
            assert handle is not None
            data = changed.get(member.name, handle.read())
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return [path]


def png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", size, 1).save(buffer, "PNG")
    return buffer.getvalue()


def trained_on(pool: Path) -> list[str]:
    return read_photographs(find_shards([pool]), 32, validation=False).keys


def test_a_member_that_cannot_be_read_is_named_or_left_out(pool: Path, tmp_path: Path) -> None:
    first, second, *others = trained_on(pool)
    shards = rewritten(pool, tmp_path / "part.tar", {f"{first}.webp": b"hello", f"{second}.mask0.png": b""})
    with pytest.raises(PictureError, match=rf"{first}\.webp in .*part\.tar cannot be read"):
        read_photographs(shards, 32, validation=False)
    bad = BadFiles(skip=True)
    photographs = read_photographs(shards, 32, validation=False, bad=bad)
    assert set(others) <= set(photographs.keys) <= {second, *others}
    assert bad.count == 2


def test_a_mask_of_another_size_is_named_or_left_out(pool: Path, tmp_path: Path) -> None:
    whole = read_photographs(find_shards([pool]), 32, validation=False)
    key = whole.keys[0]
    shards = rewritten(pool, tmp_path / "part.tar", {f"{key}.mask0.png": png((60, 80))})
    with pytest.raises(PictureError, match=rf"{key}\.mask0\.png in .* is 60x80 pixels, its photograph 160x120"):
        read_photographs(shards, 32, validation=False, mask_share=(0, 1))
    bad = BadFiles(skip=True)
    photographs = read_photographs(shards, 32, validation=False, mask_share=(0, 1), bad=bad)
    assert len(photographs.masks) == len(whole.masks) - 1
    assert bad.count == 1


def headers(shard: Path) -> list[int]:
    with tarfile.open(shard) as archive:
        return [member.offset for member in archive]


@pytest.mark.parametrize("beyond", [0, 100, 600], ids=["between members", "in a header", "in a picture"])
def test_what_was_read_before_a_shard_was_cut_stays(pool: Path, tmp_path: Path, beyond: int) -> None:
    whole = find_shards([pool])[0]
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[: headers(whole)[-3] + beyond])
    with pytest.raises(PictureError, match=r"cut\.tar is damaged: unexpected end of data"):
        read_photographs([cut], 32, validation=False)
    bad = BadFiles(skip=True)
    kept = read_photographs([cut], 32, validation=False, bad=bad)
    assert bad.count == 1
    assert 8 <= len(kept.keys) <= 12
    both = read_photographs([cut, whole], 32, validation=False, bad=BadFiles(skip=True))
    assert both.keys == trained_on(pool)


def test_a_damaged_header_does_not_end_a_shard_in_silence(pool: Path, tmp_path: Path) -> None:
    whole = find_shards([pool])[0]
    content = bytearray(whole.read_bytes())
    content[headers(whole)[6] + 10] ^= 1
    (tmp_path / "hurt.tar").write_bytes(content)
    with pytest.raises(PictureError, match=r"hurt\.tar is damaged"):
        read_photographs([tmp_path / "hurt.tar"], 32, validation=False)


def test_nothing_usable_is_an_error_even_with_skipping(tmp_path: Path) -> None:
    (tmp_path / "junk.tar").write_bytes(b"junk")
    for shards in ([], [tmp_path / "junk.tar"]):
        with pytest.raises(PictureError, match="No photograph with a usable mask"):
            read_photographs(shards, 32, validation=False, bad=BadFiles(skip=True))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="empty contains no"):
        find_shards([tmp_path / "empty"])


@pytest.mark.usefixtures("one_thread")
def test_validation_samples_are_always_the_same(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), 64, validation=True)
    first, second = (list(make_validation_samples(photographs)) for _ in range(2))
    assert len(first) > 12
    for one, other in zip(first, second, strict=True):
        assert (one.key, one.kind) == (other.key, other.kind)
        assert np.array_equal(one.composite, other.composite)
        assert np.array_equal(one.composite[~one.mask], one.real[~one.mask])
