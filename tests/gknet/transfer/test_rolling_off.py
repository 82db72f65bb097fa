"""What a map would lead out of the range: rolled off, in order, at every depth; nothing else is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gknet import Encoding, Harmonizer
from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.sample import Sample
from tests.gknet import icc

Array = npt.NDArray[Any]
SIZE = (64, 1024)


def gain(factor: float, offset: float = 0.0, size: tuple[int, int] = SIZE) -> ColorTransfer:
    """Each channel times a factor, plus an offset, everywhere."""
    curves = np.zeros((8, 8, 4, 8, 3))
    for channel in range(3):
        curves[..., channel, :, channel] = (factor - 1) * np.linspace(0, 1, 8) + offset
    return ColorTransfer(curves, size)


def gradient(depth: Any = np.float32, top: float = 1.0, size: tuple[int, int] = SIZE) -> Array:
    """(h, w, 3), left to right from 0 to a part of the range."""
    row = np.linspace(0, top, size[1])
    row = row if np.dtype(depth).kind == "f" else np.rint(row * np.iinfo(depth).max)
    return np.broadcast_to(row[None, :, None], (*size, 3)).astype(depth)


@pytest.mark.parametrize("space", ["srgb", "linear"])
def test_a_map_that_stays_in_the_range_is_itself(space: Any) -> None:
    for transfer, top in ((gain(0.9), 1.0), (gain(1.3), 0.3), (gain(1), 1.0)):
        for depth in (np.uint8, np.uint16, np.float16, np.float32):
            assert transfer.roll_off(Sample.take(gradient(depth, top), encoding=Encoding(space))) is transfer


def test_what_is_not_seen_does_not_count() -> None:
    layer, mask = np.dstack([gradient(np.uint8), np.full(SIZE, 255, np.uint8)]), np.full(SIZE, 255, np.uint8)
    transfer = gain(1.3)
    assert transfer.roll_off(Sample.take(layer)) is not transfer
    mask[:, 700:] = layer[:, 750:, 3] = 0
    assert transfer.roll_off(Sample.take(layer[..., :3], mask)) is transfer
    assert transfer.roll_off(Sample.take(layer)) is transfer
    glints = gradient(np.uint8, 0.7)
    glints[5, ::97] = 255
    assert transfer.roll_off(Sample.take(glints)) is transfer


@pytest.mark.parametrize("factor", [1.03, 1.3, 2.0])
def test_highlights_keep_their_order_and_nearly_all_their_levels(factor: float) -> None:
    layer = gradient(np.uint16, size=(64, 4096))
    cut = gain(factor, size=(64, 4096))
    rolled = cut.roll_off(Sample.take(layer))
    before, after = (transfer.apply(layer)[0, :, 0].astype(int) for transfer in (cut, rolled))
    assert (np.diff(after) >= 0).all()
    assert len(np.unique(after)) > 0.95 * 4096
    assert len(np.unique(after)) > len(np.unique(before))
    inside = before < 0.6 * 65535
    assert np.abs(after - before)[inside].max() < 0.02 * 65535


def test_shadows_are_rolled_off_alike() -> None:
    layer, factor = gradient(np.uint16), 1.3
    high = gain(factor).roll_off(Sample.take(layer)).apply(layer).astype(int)
    low = gain(factor, 1 - factor).roll_off(Sample.take(layer)).apply(layer).astype(int)
    assert np.abs((65535 - low[:, ::-1]) - high).max() <= 0.01 * 65535
    assert (np.diff(low[0, :, 0]) >= 0).all()


def test_strength_stays_linear_and_0_is_the_identity() -> None:
    layer = gradient()
    transfer = gain(1.4).roll_off(Sample.take(layer))
    full = transfer.apply(layer)
    np.testing.assert_allclose(transfer.apply(layer, strength=0.3), layer + 0.3 * (full - layer), atol=2e-6)
    for depth in (np.uint8, np.uint16, np.float16, np.float32):
        same = gradient(depth)
        assert transfer.apply(same, strength=0).tobytes() == same.tobytes()


def test_every_depth_is_rolled_off_alike() -> None:
    expected = gain(1.4).roll_off(Sample.take(gradient())).apply(gradient())
    for depth, tolerance in ((np.uint8, 1.0 / 255), (np.uint16, 1e-4), (np.float16, 2e-3)):
        layer = gradient(depth)
        top = 1 if np.dtype(depth).kind == "f" else np.iinfo(depth).max
        result = gain(1.4).roll_off(Sample.take(layer)).apply(layer).astype(np.float32) / top
        assert np.abs(result - expected.clip(0, 1)).max() < tolerance + 1e-3


@pytest.mark.parametrize("space", ["srgb", "linear"])
def test_light_above_one_stays_finite_and_in_order(space: Any) -> None:
    layer = gradient(top=16, size=(64, 4096))
    result = gain(1.5, size=(64, 4096)).roll_off(Sample.take(layer, encoding=Encoding(space))).apply(layer, space=space)
    assert np.isfinite(result).all()
    assert (np.diff(result[0, :, 0]) >= 0).all()
    assert result.max() > 12


def test_a_layer_with_a_profile_is_rolled_off_alike(brightening: Harmonizer, photograph: Array) -> None:
    """Grays are the same in sRGB and in a profile with its curve, so their highlights have to be, too."""
    layer = np.dstack([gradient(np.uint16, size=(300, 2048)), np.full((300, 2048), 65535, np.uint16)])
    layer[:20, :, 3] = 0
    background = np.tile(photograph[..., 1:2], (2, 5, 3)).astype(np.uint16) * 257
    profile = icc.rgb(icc.DISPLAY_P3, icc.srgb_curve())
    plain, with_profile = (
        brightening.layer(layer, background, (40, 60), encoding=Encoding(profile=named))[150, :, 0].astype(int)
        for named in (None, profile)
    )
    assert len(np.unique(with_profile)) > 0.95 * 2048
    assert np.abs(with_profile - plain).max() < 0.005 * 65535


def test_a_16_bit_gradient_keeps_its_levels_through_the_harmonizer(
    shipped: Harmonizer, brightening: Harmonizer, photograph: Array
) -> None:
    gray = gradient(np.uint16, size=(300, 2048))
    layer = np.dstack([gray, np.full(gray.shape[:2], 65535, np.uint16)])
    layer[:20, :, 3] = 0
    for harmonizer in (shipped, brightening):
        row = harmonizer.layer(layer, np.tile(photograph, (2, 5, 1)), (40, 60))[150, :, 0]
        assert len(np.unique(row)) > 0.95 * 2048
        assert (np.diff(row.astype(int)) >= 0).all()
