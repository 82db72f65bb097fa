"""Folders of pairs: pictures of equal names belong together, and what is missing is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gknet import PictureError
from training.data.bad_files import BadFiles
from training.data.pairs import list_triplets
from training.data.triplets import read_samples


def test_equal_names_belong_together_whatever_their_endings(pairs_folder: Path) -> None:
    found = list_triplets(pairs_folder)
    assert [triplet.composite.name for triplet in found] == ["large.PNG", "medium.PNG", "small <b>&.v1.PNG"]
    assert found[1][2:] == (pairs_folder / "mask" / "medium.png", pairs_folder / "real" / "medium.jpeg")
    sample = next(read_samples(found))
    assert sample.mask.mean() == pytest.approx((300 / 512) ** 2, rel=0.02)
    difference = np.abs(sample.composite.astype(int) - sample.real).mean(axis=2)
    assert difference[~sample.mask].mean() < 3 < 20 < difference[sample.mask].mean()


def test_what_is_missing_or_there_twice_is_named_or_left_out(pairs_folder: Path) -> None:
    (pairs_folder / "mask" / "large.png").unlink()
    with pytest.raises(PictureError, match=r"large\.PNG has no mask/large"):
        list_triplets(pairs_folder)
    (pairs_folder / "real" / "small <b>&.v1.jpeg").unlink()
    bad = BadFiles(skip=True)
    assert [triplet.composite.name for triplet in list_triplets(pairs_folder, bad=bad)] == ["medium.PNG"]
    assert bad.count == 2
    shutil.copy(pairs_folder / "mask" / "medium.png", pairs_folder / "mask" / "medium.tif")
    with pytest.raises(PictureError, match=r"medium\.tif has the same name as medium\.png"):
        list_triplets(pairs_folder)


def test_a_mask_of_another_size_is_named_or_left_out(pairs_folder: Path) -> None:
    Image.new("1", (64, 64), 1).save(pairs_folder / "mask" / "medium.png")
    with pytest.raises(PictureError, match=r"medium\.png is 64x64 pixels, medium\.PNG 512x512"):
        list(read_samples(list_triplets(pairs_folder)))
    bad = BadFiles(skip=True)
    assert len(list(read_samples(list_triplets(pairs_folder, bad=bad), bad=bad))) == 2
    assert bad.count == 1


def test_an_empty_folder_is_an_error_even_with_skipping(pairs_folder: Path) -> None:
    for mask in (pairs_folder / "mask").glob("*.png"):
        mask.rename(mask.with_name(f"of-{mask.name}"))
    with pytest.raises(PictureError, match="no usable composite"):
        list_triplets(pairs_folder, bad=BadFiles(skip=True))
    shutil.rmtree(pairs_folder / "real")
    with pytest.raises(PictureError, match="real is missing"):
        list_triplets(pairs_folder, bad=BadFiles(skip=True))
    for mask in (pairs_folder / "mask").glob("*.png"):
        mask.unlink()
    with pytest.raises(PictureError, match="mask contains no pictures"):
        list_triplets(pairs_folder, bad=BadFiles(skip=True))
