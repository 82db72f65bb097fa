"""Trims are exact at every depth, and change nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from gknet import InputError, Trims
from gknet.color.luma import LUMA
from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.trims import NO_TRIMS
from tests.gknet.photographs import photograph

SETTINGS = [Trims(brightness=60), Trims(warmth=-80), Trims(saturation=70), Trims(-50, 40, -100)]


@pytest.fixture(scope="module")
def transfer() -> ColorTransfer:
    """A map that changes every color a little, differently at each place, within the range."""
    curves = np.random.default_rng(3).uniform(-0.02, 0.02, (8, 8, 4, 8, 3))
    return ColorTransfer(curves, (60, 80))


def write_out(trims: Trims, colors: np.ndarray) -> np.ndarray:
    """Apply trims to encoded colors (h, w, 3) in [0, 1], one after the other."""
    warmer = 1.2 ** (trims.warmth / 100)
    gains = np.array([warmer, 1, 1 / warmer])
    colors = colors * 1.5 ** (trims.brightness / 100) * gains / (np.array(LUMA) * gains).sum()
    gray = colors @ np.array(LUMA)
    return gray[..., None] + (1 + trims.saturation / 100) * (colors - gray[..., None])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("trims", SETTINGS)
def test_the_result_is_the_written_out_one_within_half_a_level(
    transfer: ColorTransfer, trims: Trims, dtype: type
) -> None:
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1.0
    layer = (photograph(height=60, width=80).clip(20, 235) / 255 * full).astype(dtype)
    harmonized = transfer.apply((layer / full).astype(np.float32)).astype(float)
    result = transfer.followed_by(trims.matrix).apply(layer) / full
    expected = write_out(trims, harmonized)
    if dtype != np.float32:
        expected = expected.clip(0, 1)
    assert np.abs(result - expected).max() <= (
        0.55 / full if full > 1 else 1e-5
    )  # float32 adds a little to half a level


def test_strength_also_scales_the_trims(transfer: ColorTransfer) -> None:
    layer = (photograph(height=60, width=80) / 255).astype(np.float32)
    trimmed = transfer.followed_by(Trims(brightness=-40, warmth=30).matrix)
    half = layer + 0.5 * (trimmed.apply(layer) - layer)
    np.testing.assert_allclose(trimmed.apply(layer, strength=0.5), half, atol=1e-5)


def test_each_trim_does_what_its_name_says() -> None:
    gray, red = np.full(3, 0.4), np.array([0.6, 0.3, 0.2])
    luma = np.array(LUMA)
    assert np.allclose(NO_TRIMS.matrix, np.eye(3))
    assert np.allclose(Trims(brightness=100).matrix @ red, 1.5 * red)
    assert np.allclose(Trims(brightness=-100).matrix @ red, red / 1.5)
    warm = Trims(warmth=100).matrix @ gray
    assert warm[0] > gray[0] > warm[2]
    assert luma @ warm == pytest.approx(0.4)
    assert np.allclose(Trims(saturation=-100).matrix @ red, luma @ red)
    assert np.allclose(Trims(saturation=100).matrix @ red - luma @ red, 2 * (red - luma @ red))


def test_wrong_values_are_refused() -> None:
    for value in (101, -100.5, float("nan"), float("inf"), 10**400):
        with pytest.raises(InputError, match="between -100 and 100"):
            Trims(warmth=value)
    for wrong in ("high", None, True, np.complex64(1)):
        with pytest.raises(TypeError, match="saturation must be a number"):
            Trims(saturation=wrong)  # type: ignore[arg-type]
