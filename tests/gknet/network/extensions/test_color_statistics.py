"""Numbers that tell how the colors of two regions differ."""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import rgb2lab

from gknet.color.srgb import srgb_to_lab
from gknet.network.extensions.color_statistics import BINS, LENGTH, compute_color_statistics

HALF = (LENGTH - 1) // 2


def tensors(photograph: np.ndarray, mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 3, H, W) and (1, 1, H, W) in [0, 1]."""
    picture = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    return picture, torch.from_numpy(mask.astype(np.float32))[None, None]


def test_both_regions_are_described_as_numpy_does(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    hard = object_mask >= 128
    found = compute_color_statistics(*tensors(photograph, hard))[0].numpy()
    assert found.shape == (LENGTH,)
    assert found[-1] == np.float32(np.sqrt(hard.mean(dtype=np.float64)))
    # The conversion itself is judged in test_color.py.
    lab = srgb_to_lab(tensors(photograph, hard)[0])[0].permute(1, 2, 0).numpy()
    unit = (lab - np.float32([0, -48, -48])) / np.float32([100, 96, 96])
    for half, region in ((found[:HALF], hard), (found[HALF:-1], ~hard)):
        aside = np.float32([0, 0.5, 0.5]) / np.float32([100, 96, 96])  # keeps grays off the border of two bins
        bins = ((unit[region] + aside) * BINS).astype(int).clip(0, BINS - 1)
        counts = np.bincount((bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2], minlength=BINS**3)
        np.testing.assert_allclose(half[: BINS**3], np.sqrt(counts / counts.sum()), atol=1e-4)
        np.testing.assert_allclose(half[BINS**3 : BINS**3 + 3], unit[region].mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(half[BINS**3 + 3 :], unit[region].std(axis=0), atol=1e-3)


def test_the_last_bits_of_a_gray_photograph_do_not_matter(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    gray, mask = tensors(np.repeat(photograph[..., :1], 3, axis=2), object_mask)
    found = compute_color_statistics(gray, mask)
    # Levels of L are counted by hard bins: some pixels are let move, by less than can be seen.
    for tint in (1e-5, -1e-5, 1e-3, -1e-3):
        tinted = compute_color_statistics(gray + torch.tensor([tint, 0.0, -tint])[:, None, None], mask)
        assert float((tinted - found).abs().max()) < 0.01


def test_mixed_pixels_along_a_soft_edge_hardly_count(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    """A soft edge of another color moves the statistics far less than its area would."""
    hard, soft = (object_mask == 255).astype(np.float32), object_mask / np.float32(255)
    edge = (soft > 0) & (soft < 1)
    dyed = photograph.copy()
    dyed[edge] = (255, 0, 255)
    clean = compute_color_statistics(*tensors(photograph, hard))[0, BINS**3 : BINS**3 + 3]
    with_edge = compute_color_statistics(*tensors(dyed, soft))[0, BINS**3 : BINS**3 + 3]
    area = soft[edge].sum() / soft.sum()
    by_area = area * np.abs(rgb2lab(np.uint8([[[255, 0, 255]]]))[0, 0] / [100, 96, 96]).max()
    assert float((with_edge - clean).abs().max()) < 0.75 * by_area


def test_a_region_that_is_empty_gives_finite_numbers(photograph: np.ndarray) -> None:
    for level in (0.0, 1.0, 0.01):
        mask = np.full(photograph.shape[:2], level)
        assert torch.isfinite(compute_color_statistics(*tensors(photograph, mask))).all()
