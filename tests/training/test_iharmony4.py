"""iHarmony4's layout, on a small tree of it made from free photographs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from gknet import PictureError
from training.iharmony4 import SUBSETS, samples, triplets

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two composites a sub-set, one to train on and one to test on; the lists as bare names and as paths."""
    for number, subset in enumerate(SUBSETS):
        folder = tmp_path / subset
        for name in ("composite_images", "masks", "real_images"):
            (folder / name).mkdir(parents=True)
        for split in ("train", "test"):
            real = skimage.data.chelsea() if split == "train" else skimage.data.coffee()[:300, :450]
            mask = np.zeros(real.shape[:2], np.uint8)
            mask[60:220, 80 : 200 + 20 * number] = 255
            composite = np.where(mask[:, :, None] > 0, (real * 0.6).astype(np.uint8), real)
            Image.fromarray(real).save(folder / "real_images" / f"{split}{number}.jpg", quality=95)
            Image.fromarray(mask).save(folder / "masks" / f"{split}{number}_1.png")
            Image.fromarray(composite).save(folder / "composite_images" / f"{split}{number}_1_2.jpg", quality=95)
            prefix = "somewhere/composite_images/" if number % 2 else ""
            (folder / f"{subset}_{split}.txt").write_text(f"{prefix}{split}{number}_1_2.jpg\n\n", encoding="utf-8")
    return tmp_path


def test_lists_lead_to_composite_mask_and_real(tree: Path) -> None:
    found = triplets(tree, "train")
    assert [triplet.subset for triplet in found] == list(SUBSETS)
    assert found[1].mask == tree / "HAdobe5k" / "masks" / "train1_1.png"
    assert found[1].real == tree / "HAdobe5k" / "real_images" / "train1.jpg"
    assert [triplet.composite.name for triplet in triplets(tree, "test", ["HFlickr"])] == ["test2_1_2.jpg"]


def test_samples_are_of_the_papers_size_and_agree_outside_the_mask(tree: Path) -> None:
    for sample in samples(triplets(tree, "test")):
        assert sample.composite.shape == sample.real.shape == (256, 256, 3)
        difference = np.abs(sample.composite.astype(int) - sample.real).mean(axis=2)
        assert difference[~sample.mask].mean() < 3 < 20 < difference[sample.mask].mean()


def test_what_is_missing_is_named(tree: Path) -> None:
    def refused(name: str) -> None:
        with pytest.raises(PictureError) as caught:
            list(samples(triplets(tree, "test")))
        assert name in str(caught.value)

    (tree / "HFlickr" / "HFlickr_test.txt").write_text("a_b_c.jpg\n", encoding="utf-8")
    refused("a_b_c.jpg")
    (tree / "HFlickr" / "HFlickr_test.txt").write_text("noname.jpg\n", encoding="utf-8")
    refused("noname.jpg in HFlickr_test.txt")
    (tree / "HFlickr" / "HFlickr_test.txt").write_text("\n", encoding="utf-8")
    refused("HFlickr_test.txt is empty")
    (tree / "HFlickr" / "HFlickr_test.txt").unlink()
    refused("HFlickr_test.txt cannot be read")
    (tree / "HAdobe5k" / "masks" / "test1_1.png").write_bytes(b"no picture")
    (tree / "HFlickr" / "HFlickr_test.txt").write_text("test2_1_2.jpg\n", encoding="utf-8")
    refused("test1_1.png cannot be read")
    Image.new("L", (450, 300)).save(tree / "HAdobe5k" / "masks" / "test1_1.png")
    refused("test1_1.png holds no foreground")
    (tree / "HAdobe5k" / "real_images" / "test1.jpg").unlink()
    refused("test1.jpg is missing")


def test_evaluation_prints_a_row_a_sub_set(tree: Path) -> None:
    command = [sys.executable, "-m", "training.evaluate", "--iharmony4", str(tree)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for row in (*SUBSETS, "all"):
        assert f"│ {row} " in done.stdout
