"""Composites around whose foreground nothing of its own colours is left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from training.data.judging_sets.validation import make_validation_samples
from training.data.sample import MASK_SHARE
from training.data.shards import find_shards, read_photographs
from training.data.synthesis.edge_leakage import dilate, dilate_softly, recolor_without_leakage
from training.data.synthesis.recoloring import Composites

RETOUCH = 4
WIDEST = 6


def photograph() -> tuple[Tensor, Tensor]:
    """Eight times a bright disc on a dark ground, and a mask that leaves out two pixels along the disc's edge."""
    rows, columns = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    distance = rows.hypot(columns).expand(8, 1, 64, 64)
    real = torch.where(distance < 16, torch.tensor([0.7, 0.5, 0.3]).view(3, 1, 1), torch.tensor(0.1))
    return real, (distance < 14).float()


def made(share: float, seed: int = 0) -> tuple[Composites, Tensor, Tensor]:
    """Composites, their photographs and masks."""
    real, mask = photograph()
    kind = torch.full((len(real),), RETOUCH)
    generator = torch.Generator().manual_seed(seed)
    return recolor_without_leakage(real, mask, real, mask, kind, generator, share), real, mask


def test_composite_and_truth_differ_in_the_mask_alone() -> None:
    batch, real, mask = made(1.0)
    outside = (mask == 0).expand_as(real)
    assert torch.equal(batch.composite[outside], batch.real[outside])
    assert torch.equal(batch.real[~outside], real[~outside])
    assert torch.equal(batch.mask, mask)


def test_beyond_the_fringe_nothing_changes() -> None:
    batch, real, mask = made(1.0)
    far = (dilate(mask, WIDEST) == 0).expand_as(real)
    assert torch.equal(batch.composite[far], real[far])


def test_the_rest_of_an_object_shows_its_colours_in_a_share_of_the_composites() -> None:
    shown = {0.0: 0, 0.5: 0, 1.0: 0}
    for share in shown:
        for seed in range(12):
            batch, real, mask = made(share, seed)
            rest = (dilate(mask, 1) > mask).expand_as(real)
            for composite, truth, here in zip(batch.composite, real, rest, strict=True):
                shown[share] += bool(torch.equal(composite[here], truth[here]))
    assert shown[0.0] == 96
    assert 30 < shown[0.5] < 66
    assert shown[1.0] == 0


@pytest.mark.parametrize("reach", [1, 2, 5, 9])
def test_what_fades_is_whole_at_the_object_and_nothing_beyond_its_reach(reach: int) -> None:
    mask = torch.zeros(1, 1, 48, 48)
    mask[..., 18:30, 20:28] = 1
    around = dilate_softly(mask, reach)
    assert torch.equal(around[mask > 0], mask[mask > 0])
    assert torch.equal(around > 0, dilate(mask, reach) > 0)
    outwards = around[0, 0, 24, 27 : 29 + reach]
    assert outwards[0] == 1
    assert outwards[-1] == 0
    assert bool((outwards.diff() <= 0).all())
    assert outwards.diff().abs().max() <= 1 / 3 + 2 / (3 * reach) + 1e-6


def test_about_half_of_what_surrounds_an_object_fades() -> None:
    fading = 0
    for seed in range(12):
        batch, real, mask = made(1.0, seed)
        for composite, truth, inside in zip(batch.composite, real, mask, strict=True):
            change = (composite - truth).abs().sum(dim=0)[(dilate(inside[None], WIDEST)[0] > inside)[0]]
            levels = change[change > 0.01].div(change.max()).round(decimals=1).unique()
            fading += len(levels) > 4
    # What is made of what lies beyond has as many levels by itself: 26 if nothing faded, 61 if everything did.
    assert 34 < fading < 52


def test_what_is_filled_has_the_colours_beyond() -> None:
    mask = photograph()[1]
    filled = 0
    for seed in range(12):
        batch, _, _ = made(1.0, seed)
        for composite, inside in zip(batch.composite, mask, strict=True):
            ring = composite[:, (dilate(inside[None], 1)[0] > inside)[0]]
            filled += bool((ring - 0.1).abs().max() < 1e-3)
    # About half are filled, and of those the ones that reach past the two pixels of the disc that are left.
    assert 15 < filled < 60


def test_validation_samples_can_be_recoloured_around_their_foreground(small_pool: Path) -> None:
    photographs = read_photographs(find_shards([small_pool]), 64, validation=True, mask_share=MASK_SHARE)
    plain, around = (list(make_validation_samples(photographs, pixels)) for pixels in (0, 2))
    truths = {sample.key: sample.real for sample in plain}
    assert around
    for sample in around:
        assert np.array_equal(sample.composite[~sample.mask], sample.real[~sample.mask])
        assert np.array_equal(sample.real[sample.mask], truths[sample.key][sample.mask])
    assert any(not np.array_equal(sample.real, truths[sample.key]) for sample in around)


def test_validation_samples_can_be_made_of_what_lies_beyond_around_their_foreground(small_pool: Path) -> None:
    photographs = read_photographs(find_shards([small_pool]), 64, validation=True, mask_share=MASK_SHARE)
    plain, beyond = (list(make_validation_samples(photographs, beyond=pixels)) for pixels in (0, 4))
    assert len(plain) == len(beyond) > 0
    for was, sample in zip(plain, beyond, strict=True):
        mask = torch.from_numpy(sample.mask)[None, None].float()
        ring = (dilate(mask, 4) > mask)[0, 0].numpy()
        assert np.array_equal(sample.composite[~ring], was.composite[~ring])
        assert np.array_equal(sample.composite[~sample.mask], sample.real[~sample.mask])
        assert np.array_equal(sample.real[sample.mask], was.real[sample.mask])
        assert (sample.composite != was.composite)[ring].any(axis=1).mean() > 0.5
