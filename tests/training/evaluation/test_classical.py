"""Colour transfer from the background, on photographs."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from skimage.color import rgb2lab
from torch import Tensor

from gknet.color.srgb import srgb_to_lab
from training.data.sample import Sample
from training.evaluation.classical import CLASSICAL, ClassicalMethod
from training.evaluation.metrics import make_record

REINHARD, MKL, HISTOGRAM = CLASSICAL


def composite() -> tuple[np.ndarray, np.ndarray]:
    """A cat's face whose colours were made darker and bluer, and where it is."""
    picture = skimage.data.chelsea()[:, 60:360].copy()
    mask = np.zeros(picture.shape[:2], bool)
    mask[80:220, 70:220] = True
    picture[mask] = (picture[mask] * [0.4, 0.5, 0.7] + 20).astype(np.uint8)
    return picture, mask


def tensors(picture: np.ndarray, mask: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255, torch.from_numpy(mask)[None, None].float()


def unclipped(method: ClassicalMethod) -> tuple[Tensor, Tensor, Tensor]:
    """The composite, what the transfer makes of it before it is clipped and rounded, and where the foreground is."""
    picture, mask = tensors(*composite())
    changed = method.transfer(picture, mask, picture, 1 - mask, torch.Generator())
    return picture[0], changed[0], mask[0, 0] > 0.5


def test_reinhard_gives_the_foreground_the_backgrounds_lab_mean_and_deviation() -> None:
    picture, changed, inside = unclipped(REINHARD)
    wanted, found = srgb_to_lab(picture[None])[0][:, ~inside], srgb_to_lab(changed[None])[0][:, inside]
    assert torch.allclose(found.mean(dim=1), wanted.mean(dim=1), atol=0.01)
    assert torch.allclose(found.std(dim=1), wanted.std(dim=1), rtol=0.001)


def test_reinhards_pictures_have_them_too_but_for_what_is_clipped() -> None:
    picture, mask = composite()
    harmonized = rgb2lab(REINHARD(picture, mask))
    for statistic in (np.mean, np.std):
        wanted, found = statistic(rgb2lab(picture)[~mask], axis=0), statistic(harmonized[mask], axis=0)
        assert found == pytest.approx(wanted, abs=0.5)


def test_mkl_gives_the_foreground_the_backgrounds_mean_and_covariance() -> None:
    picture, changed, inside = unclipped(MKL)
    assert torch.allclose(changed[:, inside].mean(dim=1), picture[:, ~inside].mean(dim=1), atol=1e-4)
    # Both covariances carry 1e-4 on the diagonal, so that they can be inverted.
    assert torch.allclose(changed[:, inside].cov(), picture[:, ~inside].cov(), atol=3e-4)


def test_histogram_matching_gives_the_foreground_the_backgrounds_quantiles() -> None:
    picture, changed, inside = unclipped(HISTOGRAM)
    shares = torch.linspace(0.05, 0.95, 10)
    wanted, found = picture[:, ~inside].quantile(shares, dim=1), changed[:, inside].quantile(shares, dim=1)
    assert torch.allclose(found, wanted, atol=2 / 64)


@pytest.mark.parametrize("method", CLASSICAL, ids=lambda method: method.name)
def test_the_background_stays_as_it_is(method: ClassicalMethod) -> None:
    picture, mask = composite()
    harmonized = method(picture, mask)
    assert harmonized.dtype == np.uint8
    assert np.array_equal(harmonized[~mask], picture[~mask])
    assert not np.array_equal(harmonized[mask], picture[mask])


@pytest.mark.parametrize("method", CLASSICAL, ids=lambda method: method.name)
def test_a_part_of_an_even_texture_is_put_right(method: ClassicalMethod) -> None:
    """Where fore- and background have the same colours, matching them is all there is to do."""
    real = np.random.default_rng(0).normal([90, 120, 140], 12, (96, 96, 3)).astype(np.uint8)
    mask = np.zeros((96, 96), bool)
    mask[24:72, 24:72] = True
    changed = np.where(mask[:, :, None], (real * 0.6 + 30).astype(np.uint8), real)
    record = make_record(Sample("noise", "test", changed, real, mask), method(changed, mask))
    assert record.after.fmse < 0.1 * record.before.fmse


@pytest.mark.parametrize("method", CLASSICAL, ids=lambda method: method.name)
def test_one_colour_is_no_trouble(method: ClassicalMethod) -> None:
    picture, mask = composite()
    picture[mask] = [200, 30, 90]
    assert np.ptp(method(picture, mask)[mask], axis=0).max() <= 1
