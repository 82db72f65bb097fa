"""Parts of photographs for training: where they lie, and that what is cut out lies there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.data.synthesis.crops import KEPT, MASK_SHARE, SMALLEST, STRETCH, cut_out_parts, draw_parts, sum_masks

SIDE = 96


def disc(row: float, column: float, radius: float) -> Tensor:
    """(1, SIDE, SIDE) uint8."""
    rows, columns = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    return (255 * ((rows - row).hypot(columns - column) < radius)).byte()[None]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(row=st.floats(10, 86), column=st.floats(10, 86), radius=st.floats(16, 40), seed=st.integers(0, 99))
def test_a_part_shows_most_of_the_foreground(row: float, column: float, radius: float, seed: int) -> None:
    mask = disc(row, column, radius)
    parts = draw_parts(sum_masks(mask).expand(20, -1, -1), generator(seed))
    pixels = cut_out_parts(mask[:, None].expand(20, -1, -1, -1).float() / 255, parts, torch.zeros(20).bool(), SIDE)
    area = (parts[:, 2] * parts[:, 3])[:, None]
    share = pixels.mean(dim=(2, 3))
    whole = mask.float().mean() / 255
    partly = parts[:, 2:].amin(dim=1) < 1
    # It is measured in cells of 3 pixels, so that a part may show a little less or more of it than asked for.
    assert (share * area >= 0.8 * KEPT * whole).all()
    least, most = MASK_SHARE
    assert ((share > 0.8 * least) & (share < 1.1 * most))[partly].all()


def test_parts_are_of_many_sizes_within_the_photograph() -> None:
    parts = draw_parts(sum_masks(disc(48, 48, 16)).expand(400, -1, -1), generator())
    top, left, height, width = parts.unbind(1)
    for edge in (top, left, 1 - top - height, 1 - left - width):
        assert edge.min() > -1e-6
    assert SMALLEST / STRETCH <= height.min() < 0.55
    assert height.max() > 0.95
    assert (height / width).log().abs().max() <= 2 * torch.tensor(STRETCH).log() + 1e-5
    assert len(parts.unique(dim=0)) == 400


def test_a_photograph_without_a_fitting_part_is_seen_whole() -> None:
    everything = torch.full((1, SIDE, SIDE), 255, dtype=torch.uint8)
    assert draw_parts(sum_masks(everything), generator()).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_cut_out_lies_where_the_part_does(mirrored: bool) -> None:
    picture = torch.rand(1, 3, SIDE, SIDE, generator=generator())
    part = torch.tensor([[0.25, 0.5, 0.5, 0.25]])
    cut = cut_out_parts(picture, part, torch.tensor([mirrored]), SIDE // 4)[0]
    # Twice the rows a pixel of the cut stands for, and one column of it.
    expected = picture[0, :, 24:72, 48:72].unflatten(1, (24, 2)).mean(dim=2)
    assert torch.allclose(cut, expected.flip(2) if mirrored else expected, atol=1e-5)


def test_all_of_a_photograph_is_that_photograph() -> None:
    picture = torch.rand(2, 4, SIDE, SIDE, generator=generator())
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, -1)
    assert torch.allclose(cut_out_parts(picture, whole, torch.zeros(2).bool(), SIDE), picture, atol=1e-5)
