"""Color spaces: against scikit-image, there and back, and outside [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st

from gknet.color.srgb import lab_to_srgb, linear_to_srgb, srgb_to_lab, srgb_to_linear


def photograph() -> torch.Tensor:
    pixels = skimage.data.astronaut().astype(np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, 3, 512, 512)


def test_lab_agrees_with_scikit_image() -> None:
    rgb = photograph()
    expected = skimage.color.rgb2lab(rgb[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(srgb_to_lab(rgb)[0].permute(1, 2, 0).numpy(), expected, atol=1e-2)


def test_lab_agrees_with_scikit_image_on_the_corners_of_the_cube() -> None:
    axis = np.linspace(0, 1, 9, dtype=np.float64)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, 27, 27, 3)
    ours = srgb_to_lab(torch.from_numpy(cube).permute(0, 3, 1, 2))[0].permute(1, 2, 0).numpy()
    # scikit-image rounds its matrix and white to five figures; this is that rounding.
    np.testing.assert_allclose(ours, skimage.color.rgb2lab(cube[0]), atol=2e-2)


def test_gray_is_neutral_and_white_is_a_hundred() -> None:
    lab = srgb_to_lab(torch.linspace(0, 1, 256).expand(1, 3, 1, 256))
    assert lab[:, 1:].abs().max() < 1e-3
    assert lab[0, 0, 0, 0].abs() < 1e-4
    assert abs(lab[0, 0, 0, -1].item() - 100) < 1e-3


def test_lab_comes_back() -> None:
    rgb = photograph()
    torch.testing.assert_close(lab_to_srgb(srgb_to_lab(rgb)), rgb, atol=2e-5, rtol=0)


def test_lab_comes_back_from_outside_the_unit_cube() -> None:
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(2, 3, 16, 16, generator=generator, dtype=torch.float64) * 3 - 1
    torch.testing.assert_close(lab_to_srgb(srgb_to_lab(rgb)), rgb, atol=1e-5, rtol=0)


def test_encoding_agrees_with_the_standard() -> None:
    # IEC 61966-2-1: 0.5 is 21.404 % of the light; the line carries everything up to 0.04045.
    assert srgb_to_linear(torch.tensor(0.5)).item() == pytest.approx(0.2140411, abs=1e-6)
    assert srgb_to_linear(torch.tensor(0.04)).item() == pytest.approx(0.04 / 12.92, abs=1e-8)
    assert linear_to_srgb(torch.tensor(1.0)).item() == pytest.approx(1.0, abs=1e-6)


@given(st.floats(-100, 100, width=32))
def test_encoding_comes_back_and_is_odd(value: float) -> None:
    x = torch.tensor(value)
    assert srgb_to_linear(linear_to_srgb(x)).item() == pytest.approx(value, rel=2e-5, abs=1e-6)
    assert srgb_to_linear(-x).item() == -srgb_to_linear(x).item()
    assert linear_to_srgb(-x).item() == -linear_to_srgb(x).item()


def test_encoding_keeps_order_below_zero_and_above_one() -> None:
    ramp = torch.linspace(-8, 64, 100_001)
    assert (srgb_to_linear(ramp).diff() > 0).all()
    assert (linear_to_srgb(ramp).diff() >= 0).all()


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb, srgb_to_lab, lab_to_srgb])
@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-8, 0.0031308, 0.04045, 1.0, 4.0])
def test_gradients_are_finite(function: object, value: float) -> None:
    x = torch.full((1, 3, 1, 1), value, requires_grad=True)
    assert callable(function)
    function(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
