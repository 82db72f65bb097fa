"""The equations behind the transfer, beside the same ones solved whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.equations import BlockCholesky, CurveEquations, evaluate_curves, solve_smooth
from gknet.transfer.fit import CurveFit, to_hats


@pytest.mark.parametrize("rows", [3, 4, 7, 8])
@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_are_solved_as_the_whole_matrix_is(rows: int, threads: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    size = 5
    below = torch.randn(rows - 1, size, size, dtype=torch.float64, generator=generator)
    diagonal = torch.randn(rows, size, size, dtype=torch.float64, generator=generator)
    diagonal = diagonal @ diagonal.mT + 10 * torch.eye(size)
    whole = torch.block_diag(*diagonal)
    for row, block in enumerate(below):
        first, next_one = (slice(at * size, (at + 1) * size) for at in (row, row + 1))
        whole[next_one, first], whole[first, next_one] = block, block.T
    wanted = torch.randn(rows, size, 2, dtype=torch.float64, generator=generator)
    with ThreadPoolExecutor(threads) as pool:
        found = BlockCholesky(diagonal, below, pool).solve(wanted, pool)
    torch.testing.assert_close(found.flatten(0, 1), torch.linalg.solve(whole, wanted.flatten(0, 1)))


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    diagonal, below = torch.eye(2, dtype=torch.float64).repeat(4, 1, 1), torch.zeros(3, 2, 2, dtype=torch.float64)
    diagonal[3] *= -1
    with ThreadPoolExecutor(1) as pool, pytest.raises(torch.linalg.LinAlgError):
        BlockCholesky(diagonal, below, pool)


def test_curves_that_vary_like_a_parabola_are_found_whole() -> None:
    """Of colors and places by lot: what made the change is what both ways find."""
    generator = torch.Generator().manual_seed(0)
    count = 6000
    features = to_hats(torch.rand(count, 3, dtype=torch.float64, generator=generator))
    y, x = 7 * torch.rand(2, count, dtype=torch.float64, generator=generator)
    place = torch.linspace(-1, 1, 8, dtype=torch.float64)
    knots = torch.linspace(0, 1, 8, dtype=torch.float64)
    curve = (knots - knots**2)[:, None] * torch.randn(4, 1, 3, dtype=torch.float64, generator=generator)
    curves = 0.2 * (1 + place[:, None] ** 2 - 0.5 * place)[:, :, None, None] * curve.flatten(0, 1)
    change = evaluate_curves(curves, features, y, x)
    weight = torch.full((count,), 1 / count, dtype=torch.float64)
    with ThreadPoolExecutor(2) as pool:
        found = CurveEquations(features, weight, y, x, pool).solve(change, pool)
        smooth = solve_smooth(features, change, weight, y, x, pool)
    # One curve may take what another gives: it is the change that is told.
    for those in (found, smooth):
        assert float((evaluate_curves(those, features, y, x) - change).norm()) < 0.01 * float(change.norm())


def test_one_fit_serves_any_number_of_answers(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    picture, mask = photograph.astype(np.float32) / 255, object_mask.astype(np.float32) / 255
    layer = {"layer_box": (0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])), "layer_size": (300, 400)}
    fit = CurveFit(mask=mask, foreground=picture, **layer)  # type: ignore[arg-type]
    for gain in (0.7, 1.2, np.nan):
        answer = picture + mask[..., None] * (gain - 1) * picture * 0.5
        alone = ColorTransfer.fit(composite=picture, harmonized=answer, mask=mask, foreground=picture, **layer)  # type: ignore[arg-type]
        np.testing.assert_array_equal(fit.fit_curves(picture, answer), alone.curves)
        assert alone.curves.any() == (gain == gain)
