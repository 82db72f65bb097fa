"""Composites that are real where the mask is not, changed where it is, and of many kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gknet.color.srgb import srgb_to_lab
from training.data.shards import find_shards, read_photographs
from training.data.synthesis.recoloring import (
    KINDS,
    Composites,
    _compute_moments,
    _is_usable,
    recolor,
    transfer_covariance,
    transfer_histograms,
    transfer_mkl,
    transfer_reinhard,
)


@pytest.fixture(scope="module")
def scene(pool: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Twelve photographs, their masks, and other photographs as references."""
    photographs = read_photographs(find_shards([pool]), 64, validation=False)
    first = [int(masks[0]) for masks in photographs.masks_of]
    real = torch.from_numpy(photographs.pictures).float() / 255
    mask = torch.from_numpy(photographs.masks[first] >= 128)[:, None].float()
    order = torch.arange(len(real)).roll(1)
    return real, mask, real[order], mask[order]


def made(scene: tuple[Tensor, Tensor, Tensor, Tensor], kind: int, seed: int = 0) -> Composites:
    number = torch.full((len(scene[0]),), kind)
    return recolor(*scene, number, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=list(KINDS))
def test_every_kind_changes_the_foreground_and_nothing_else(
    scene: tuple[Tensor, Tensor, Tensor, Tensor], kind: int
) -> None:
    batch = made(scene, kind)
    outside = (batch.mask == 0).expand_as(batch.real)
    assert torch.equal(batch.composite[outside], batch.real[outside])
    assert batch.composite.min() >= 0
    assert batch.composite.max() <= 1
    changed = (batch.composite - batch.real).abs().mul(batch.mask).sum(dim=(1, 2, 3))
    assert (changed / batch.mask.sum(dim=(1, 2, 3)) > 0.01).sum() >= 8
    assert batch.usable.sum() >= 4


def test_half_covered_pixels_are_half_changed(scene: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    soft = torch.where(scene[1] > 0, 0.5, 0.0)
    whole, half = made(scene, 4), made((scene[0], soft, *scene[2:]), 4)
    change = whole.composite - whole.real
    torch.testing.assert_close((half.composite - half.real), change / 2, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=list(KINDS))
def test_the_same_draws_give_the_same_composites(scene: tuple[Tensor, Tensor, Tensor, Tensor], kind: int) -> None:
    assert torch.equal(made(scene, kind, 3).composite, made(scene, kind, 3).composite)
    assert not torch.equal(made(scene, kind, 3).composite, made(scene, kind, 4).composite)


def test_reinhard_takes_the_mean_of_the_reference(scene: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    changed = transfer_reinhard(*scene, torch.Generator())
    mean, _ = _compute_moments(srgb_to_lab(changed), scene[1])
    target, _ = _compute_moments(srgb_to_lab(scene[2]), scene[3])
    torch.testing.assert_close(mean, target, atol=0.1, rtol=0)


def test_mkl_takes_mean_and_covariance_of_the_reference(scene: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    mean, spread = _compute_moments(transfer_mkl(*scene, torch.Generator()), scene[1])
    target_mean, target_spread = _compute_moments(scene[2], scene[3])
    torch.testing.assert_close(mean, target_mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(spread, target_spread, atol=5e-3, rtol=0)


def test_covariance_transfer_takes_the_mean_of_the_reference(
    scene: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    mean, _ = _compute_moments(transfer_covariance(*scene, torch.Generator()), scene[1])
    torch.testing.assert_close(mean, _compute_moments(scene[2], scene[3])[0], atol=1e-3, rtol=0)


def test_histogram_matching_brings_every_quantile_near_the_reference(
    scene: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    real, mask, reference, reference_mask = scene
    changed = transfer_histograms(*scene, torch.Generator())
    for index in range(len(real)):
        for channel in range(3):
            got = changed[index, channel][mask[index, 0] > 0]
            wanted = reference[index, channel][reference_mask[index, 0] > 0]
            shares = torch.linspace(0.1, 0.9, 9)
            apart = (got.quantile(shares) - wanted.quantile(shares)).abs()
            before = real[index, channel][mask[index, 0] > 0].quantile(shares) - wanted.quantile(shares)
            assert apart.mean() < max(0.02, 0.25 * float(before.abs().mean()))


def test_composites_that_hardly_change_or_clip_are_not_usable() -> None:
    real = torch.full((3, 3, 32, 32), 0.5)
    mask = torch.zeros(3, 1, 32, 32)
    mask[:, :, 8:24, 8:24] = 1
    composite = real.clone()
    composite[0, :, 8:24, 8:24] += 0.001
    composite[1, :, 8:24, 8:24] = 1.0
    composite[2, :, 8:24, 8:24] += 0.1
    assert _is_usable(composite, real, mask).tolist() == [False, False, True]
    assert not _is_usable(composite, real, torch.zeros_like(mask)).any()
