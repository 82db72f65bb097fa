"""What is counted as steady: known maps, for which it is known how far two results lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from tests.training.calling import call_command
from training.data.sample import Sample
from training.research import steadiness
from training.research.steadiness import (
    CHANGES,
    compress_without_loss,
    crop_picture,
    enlarge_picture,
    harmonize_photograph,
    measure_agreement,
    measure_steadiness,
    shift_object,
)


@pytest.fixture
def sample() -> Sample:
    real = np.ascontiguousarray(skimage.data.astronaut()[::4, ::4])
    mask = np.zeros(real.shape[:2], bool)
    mask[30:90, 40:100] = True
    composite = np.where(mask[..., None], real // 2 + 40, real // 2).astype(np.uint8)
    return Sample("astronaut", "curve", composite, real, mask)


def darker(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The same for every pixel of the foreground, wherever it is."""
    return np.where(mask[..., None], composite - np.minimum(composite, 10), composite)


def test_agreement_is_that_of_the_foreground_alone(sample: Sample) -> None:
    other = sample.composite + np.where(sample.mask[..., None], 0, 1).astype(np.uint8)
    assert measure_agreement(sample.composite, other, sample.mask) == (0, 100)
    brighter = np.minimum(sample.composite, 250) + 4 * sample.mask[..., None].astype(np.uint8)
    apart = measure_agreement(np.minimum(sample.composite, 250), brighter, sample.mask)
    assert apart.levels == 4
    assert apart.psnr == pytest.approx(20 * np.log10(255 / 4))


@pytest.mark.parametrize("change", [shift_object, crop_picture, enlarge_picture, compress_without_loss])
def test_a_map_of_single_colours_is_steady(change: steadiness.Change, sample: Sample) -> None:
    assert change(darker, sample) == (0, 100)


@pytest.mark.parametrize("name", CHANGES)
def test_a_map_that_notices_a_change_is_not_steady(name: str, sample: Sample) -> None:
    def jumps(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        known = np.array_equal(composite, sample.composite)
        return composite + (0 if known else 8) * mask[..., None].astype(np.uint8)

    assert sample.composite.max() < 200
    found = CHANGES[name](jumps, sample)
    assert found is not None
    assert found.levels == pytest.approx(8, abs=1)  # JPEG itself loses as much


def test_an_object_that_fills_the_cropped_picture_is_left_out(sample: Sample) -> None:
    everywhere = np.ones_like(sample.mask)
    everywhere[0] = False
    assert crop_picture(darker, sample._replace(mask=everywhere)) is None


def test_what_is_done_to_a_real_photograph(sample: Sample) -> None:
    bright = sample._replace(real=np.maximum(sample.real, 10))
    assert harmonize_photograph(darker, bright).levels == 10


def test_every_photograph_is_asked_once_as_it_is(sample: Sample) -> None:
    found = measure_steadiness(darker, iter([sample, sample._replace(kind="light"), sample._replace(key="other")]))
    assert [len(agreements) for agreements in found.values()] == [2, 3, 3, 3, 3, 3, 3]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "two_kinds")
def test_the_command_prints_a_row_a_change(small_pool: Path, quick_weights: Path) -> None:
    done = call_command(steadiness.main, "--pool", small_pool, "--weights", quick_weights, "--every", "4")
    assert done.code == 0
    assert all(name in done.out for name in CHANGES)
    done = call_command(steadiness.main, "--pool", "nowhere", "--weights", quick_weights)
    assert done.code == 2
    assert done.err.count("\n") == 1
