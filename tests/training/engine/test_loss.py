"""Eq. 7 and our variant, against the formula written out."""

from __future__ import annotations

import pytest
import torch

from training.engine.loss import foreground_mse, foreground_rmse


def test_eq_7_divides_by_the_foreground_but_never_by_less_than_100_pixels() -> None:
    real = torch.zeros(2, 3, 32, 32)
    harmonized, mask = real.clone(), torch.zeros(2, 1, 32, 32)
    mask[0, :, :20, :20], mask[1, :, :2, :2] = 1, 1  # 400 and 4 pixels
    harmonized[0, :, :20, :20], harmonized[1, :, :2, :2] = 0.1, 0.1
    large = 400 * 3 * 0.01 / 400
    small = 4 * 3 * 0.01 / 100
    assert float(foreground_mse(harmonized, real, mask)) == pytest.approx((large + small) / 2, rel=1e-5)


def test_the_root_weighs_pictures_alike_and_is_differentiable_at_zero() -> None:
    real = torch.zeros(1, 3, 32, 32)
    mask = torch.ones(1, 1, 32, 32)
    harmonized = torch.full_like(real, 0.2, requires_grad=True)
    assert foreground_rmse(harmonized, real, mask).item() == pytest.approx(0.2, abs=1e-4)
    perfect = real.clone().requires_grad_()
    foreground_rmse(perfect, real, mask).backward()
    assert perfect.grad is not None
    assert torch.isfinite(perfect.grad).all()
