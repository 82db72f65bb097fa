"""Eq. 5 and 6 in their forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gknet.network.kernel_prediction import KernelPrediction, make_fusion
from gknet.network.modulation import Modulation, modulate, modulate_in_strips, modulate_reference


@pytest.mark.parametrize("size", [1, 3, 5])
def test_both_forms_agree_in_value_and_gradient(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    results = []
    for form in (modulate, modulate_reference):
        generator.manual_seed(size)
        feature = torch.randn(2, 4, 9, 7, generator=generator, requires_grad=True)
        kernels = torch.randn(2, 4 * size * size, 9, 7, generator=generator, requires_grad=True)
        weights = torch.randn(2, 4, 9, 7, generator=generator)
        modulated = form(feature, kernels)
        (modulated * weights).sum().backward()
        results.append((modulated, feature.grad, kernels.grad))
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", [modulate, modulate_reference])
def test_kernels_are_indexed_by_p_minus_q(form: object) -> None:
    """Written out pixel by pixel from the equation, for one pixel of a 3x3 picture."""
    feature = torch.arange(9.0).view(1, 1, 3, 3)
    kernels = torch.randn(1, 9, 3, 3, generator=torch.Generator().manual_seed(0))
    modulated = form(feature, kernels)  # type: ignore[operator]
    for row in range(3):
        for column in range(3):
            expected = 0.0
            for q_row in range(3):
                for q_column in range(3):
                    dy, dx = row - q_row, column - q_column
                    if abs(dy) <= 1 and abs(dx) <= 1:
                        tap = (dy + 1) * 3 + dx + 1
                        expected += float(kernels[0, tap, row, column] * feature[0, 0, q_row, q_column])
            assert float(modulated[0, 0, row, column]) == pytest.approx(expected, abs=1e-5)


def test_both_forms_pass_the_numerical_gradient_check() -> None:
    feature = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(1, 18, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(modulate, (feature, kernels))
    assert torch.autograd.gradcheck(modulate_reference, (feature, kernels))


def test_kernels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        modulate(torch.rand(1, 2, 4, 4), torch.rand(1, 8, 4, 4))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(
    ("taps", "batch", "channels", "height", "width"), [(3, 2, 4, 7, 5), (5, 1, 3, 1, 9), (3, 1, 64, 70, 65)]
)
def test_modulation_in_strips_agrees_with_prediction_and_modulation(
    taps: int, batch: int, channels: int, height: int, width: int, residual: bool
) -> None:
    torch.manual_seed(0)
    prediction = nn.Conv2d(channels, channels * taps**2, 1)
    assert prediction.bias is not None
    feature, predictor = torch.randn(2, batch, channels, height, width)
    with torch.no_grad():
        expected = modulate_reference(feature, prediction(predictor)) + (feature if residual else 0)
        in_strips = modulate_in_strips(feature, predictor, prediction.weight, prediction.bias, residual=residual)
    torch.testing.assert_close(in_strips, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("selective", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_modulation_gives_the_same_with_and_without_gradients(residual: bool, selective: bool) -> None:
    """With them it is the plain form, without them the one in strips."""
    torch.manual_seed(0)
    block = KernelPrediction(make_fusion(8, 16, selective=selective, groups=4), 8, 3, residual).eval()
    feature, encoded, deeper = torch.randn(2, 8, 12, 10), torch.randn(2, 8, 12, 10), torch.randn(2, 16, 6, 5)
    modulation = Modulation(residual)
    plain = modulation(feature, block, encoded, deeper)
    assert plain[0].requires_grad
    with torch.no_grad():
        fused = modulation(feature, block, encoded, deeper)
    for one, other in zip(plain, fused, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
