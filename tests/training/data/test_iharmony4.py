"""iHarmony4's layout, on a small tree of it made from free photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gknet import PictureError
from training.data.bad_files import BadFiles
from training.data.iharmony4 import SUBSETS, list_triplets
from training.data.triplets import read_samples


def test_lists_lead_to_composite_mask_and_real(iharmony4_tree: Path) -> None:
    found = list_triplets(iharmony4_tree, "train")
    assert [triplet.subset for triplet in found] == list(SUBSETS)
    assert found[1].mask == iharmony4_tree / "HAdobe5k" / "masks" / "train1_1.png"
    assert found[1].real == iharmony4_tree / "HAdobe5k" / "real_images" / "train1.jpg"
    assert [triplet.composite.name for triplet in list_triplets(iharmony4_tree, "test", ["HFlickr"])] == [
        "test2_1_2.jpg"
    ]


def test_samples_are_of_the_papers_size_and_agree_outside_the_mask(iharmony4_tree: Path) -> None:
    found = list(read_samples(list_triplets(iharmony4_tree, "test")))
    assert [sample.kind for sample in found] == list(SUBSETS)
    for sample in found:
        assert sample.composite.shape == sample.real.shape == (256, 256, 3)
        difference = np.abs(sample.composite.astype(int) - sample.real).mean(axis=2)
        assert difference[~sample.mask].mean() < 3 < 20 < difference[sample.mask].mean()


def refused(tree: Path, message: str, *, even_with_skipping: bool = False) -> None:
    with pytest.raises(PictureError) as caught:
        list(read_samples(list_triplets(tree, "test")))
    assert message in str(caught.value)
    bad = BadFiles(skip=True)
    if even_with_skipping:
        with pytest.raises(PictureError, match=message):
            list(read_samples(list_triplets(tree, "test", bad=bad), bad=bad))
    else:
        list(read_samples(list_triplets(tree, "test", bad=bad), bad=bad))
        assert bad.count >= 1


def test_a_list_that_is_missing_or_empty_is_always_an_error(iharmony4_tree: Path) -> None:
    names = iharmony4_tree / "HFlickr" / "HFlickr_test.txt"
    names.write_text("\n", encoding="utf-8")
    refused(iharmony4_tree, r"HFlickr_test.txt is empty", even_with_skipping=True)
    names.write_bytes(b"\xff\xfe")
    refused(iharmony4_tree, r"HFlickr_test.txt cannot be read", even_with_skipping=True)
    names.unlink()
    refused(iharmony4_tree, r"HFlickr_test.txt cannot be read", even_with_skipping=True)


def test_what_is_bad_is_named(iharmony4_tree: Path) -> None:
    names = iharmony4_tree / "HFlickr" / "HFlickr_test.txt"
    right = names.read_text(encoding="utf-8")
    names.write_text("a_b_c.jpg\n", encoding="utf-8")
    refused(iharmony4_tree, "a_b_c.jpg is missing")
    names.write_text("noname.jpg\n", encoding="utf-8")
    refused(iharmony4_tree, "noname.jpg in HFlickr_test.txt")
    names.write_text(right, encoding="utf-8")
    mask = iharmony4_tree / "HAdobe5k" / "masks" / "test1_1.png"
    mask.write_bytes(b"no picture")
    refused(iharmony4_tree, "test1_1.png cannot be read")
    Image.new("L", (450, 300)).save(mask)
    refused(iharmony4_tree, "test1_1.png has no foreground")
    Image.new("L", (450, 300), 255).save(mask)
    refused(iharmony4_tree, "test1_1.png has no background")
    Image.new("L", (300, 450), 255).save(mask)
    refused(iharmony4_tree, "test1_1.png is 300x450 pixels, test1_1_2.jpg 450x300")
    mask.unlink()
    refused(iharmony4_tree, "test1_1.png is missing")


def test_a_picture_that_was_cut_short_is_named(iharmony4_tree: Path) -> None:
    real = iharmony4_tree / "HCOCO" / "real_images" / "test0.jpg"
    real.write_bytes(real.read_bytes()[:5000])
    refused(iharmony4_tree, "test0.jpg cannot be read")


def test_skipping_leaves_out_exactly_what_is_bad(iharmony4_tree: Path) -> None:
    (iharmony4_tree / "HFlickr" / "masks" / "test2_1.png").unlink()
    (iharmony4_tree / "HAdobe5k" / "real_images" / "test1.jpg").write_bytes(b"no picture")
    bad = BadFiles(skip=True)
    chosen = list_triplets(iharmony4_tree, "test", bad=bad)
    assert [triplet.subset for triplet in chosen] == ["HCOCO", "HAdobe5k", "Hday2night"]
    assert [sample.kind for sample in read_samples(chosen, bad=bad)] == ["HCOCO", "Hday2night"]
    assert bad.count == 2


def test_nothing_usable_is_an_error_even_with_skipping(iharmony4_tree: Path) -> None:
    for mask in iharmony4_tree.glob("*/masks/test*.png"):
        mask.unlink()
    with pytest.raises(PictureError, match="no usable composite"):
        list_triplets(iharmony4_tree, "test", bad=BadFiles(skip=True))
