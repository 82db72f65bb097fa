"""The color transfer: what it never touches, what it recovers, and how it behaves while it works."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gknet.color.srgb import linear_to_srgb, srgb_to_linear
from gknet.errors import InputError, UnsupportedError
from gknet.transfer.color_transfer import ColorTransfer

Array = npt.NDArray[Any]
DTYPES = [np.uint8, np.uint16, np.float16, np.float32]


def zero(size: tuple[int, int]) -> ColorTransfer:
    return ColorTransfer(np.zeros((8, 8, 4, 8, 3)), size)


def some(size: tuple[int, int], amount: float = 0.03) -> ColorTransfer:
    """A lively map: every curve of every node its own."""
    return ColorTransfer(np.random.default_rng(1).normal(0, amount, (8, 8, 4, 8, 3)), size)


def noise(size: tuple[int, int], dtype: Any, channels: int = 4, seed: int = 0) -> Array:
    """Random pixels; floats reach beyond 0..1. About a third have alpha 0, a third alpha full."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "u":
        layer = random.integers(0, np.iinfo(dtype).max + 1, (*size, channels)).astype(dtype)
        full = np.iinfo(dtype).max
    else:
        layer = random.uniform(-0.5, 4, (*size, channels)).astype(dtype)
        full = 1
    if channels == 4:
        layer[..., 3] = np.clip(random.uniform(-1, 2, size), 0, 1) * full
    return layer


def bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


# --- what it never touches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["srgb", "linear"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_change_is_the_identity_bit_for_bit(dtype: Any, channels: int, space: Any) -> None:
    layer = noise((37, 53), dtype, channels)
    if np.dtype(dtype).kind == "f":
        layer[3, 4] = -0.0
        layer[5, 6, 1] = np.nan
        layer[7, 8, 2] = np.inf
        layer[9, 9, 0] = np.finfo(dtype).max
    assert bits(zero((37, 53)).apply(layer, space=space)) == bits(layer)
    assert bits(some((37, 53)).apply(layer, space=space, strength=0)) == bits(layer)


def test_every_8_bit_value_survives_no_change() -> None:
    ramp = np.arange(256, dtype=np.uint8)[:, None, None].repeat(4, 2).repeat(3, 1)
    assert bits(zero((256, 3)).apply(ramp)) == bits(ramp)


@pytest.mark.parametrize("dtype", DTYPES)
def test_alpha_never_changes_and_clear_pixels_are_copied(dtype: Any) -> None:
    layer = noise((41, 60), dtype)
    if np.dtype(dtype).kind == "f":
        layer[layer[..., 3] == 0, 0] = np.nan
    result = some((41, 60)).apply(layer)
    clear = layer[..., 3] == 0
    assert clear.any()
    assert bits(result[..., 3]) == bits(layer[..., 3])
    assert bits(result[clear]) == bits(layer[clear])
    assert bits(result[~clear]) != bits(layer[~clear])


@pytest.mark.parametrize("mask_dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_outside_the_mask_are_copied(dtype: Any, channels: int, mask_dtype: Any) -> None:
    layer = noise((30, 44), dtype, channels)
    full = 1 if mask_dtype is np.float32 else np.iinfo(mask_dtype).max
    mask = (np.clip(np.random.default_rng(3).uniform(-1, 1, (30, 44)), 0, 1) * full).astype(mask_dtype)
    result = some((30, 44)).apply(layer, mask=mask)
    assert bits(result[mask == 0]) == bits(layer[mask == 0])
    assert bits(result[mask > 0]) != bits(layer[mask > 0])


def test_the_layer_itself_is_not_written_to() -> None:
    layer = noise((20, 20), np.uint8)
    before = layer.copy()
    layer.flags.writeable = False  # also: read-only input is fine, and gives no warning
    result = some((20, 20)).apply(layer)
    assert not np.shares_memory(result, layer)
    assert bits(layer) == bits(before)


def test_strided_and_flipped_layers_give_what_their_copies_give() -> None:
    layer = noise((40, 60), np.uint8)[::-1, ::2]
    assert bits(some((40, 30)).apply(layer)) == bits(some((40, 30)).apply(layer.copy()))


# --- strength and mask --------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["srgb", "linear"])
@given(strength=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_strength_is_linear(space: Any, strength: float) -> None:
    layer = noise((16, 24), np.float32)
    whole = some((16, 24)).apply(layer, space=space)
    part = some((16, 24)).apply(layer, space=space, strength=strength)
    np.testing.assert_allclose(part, layer + strength * (whole - layer), atol=2e-6, rtol=1e-6)


def test_a_half_mask_is_half_the_strength() -> None:
    layer = noise((16, 24), np.float32, channels=3)
    mask = np.full((16, 24), 0.5, np.float32)
    transfer = some((16, 24))
    assert bits(transfer.apply(layer, mask=mask)) == bits(transfer.apply(layer, strength=0.5))


# --- same result however the work is divided ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_tile_size_does_not_matter(dtype: Any) -> None:
    layer = noise((67, 129), dtype)
    transfer = some((67, 129))
    expected = bits(transfer.apply(layer))
    for tile_pixels in (1, 7, 50, 300, 1000, 10**6):
        assert bits(transfer.apply(layer, tile_pixels=tile_pixels)) == expected


def test_number_of_threads_does_not_matter_and_is_left_alone() -> None:
    layer = noise((300, 200), np.uint8)
    transfer = some((300, 200))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(bits(transfer.apply(layer, tile_pixels=500)))
            assert torch.get_num_threads() == threads
            of_new_thread: list[int] = []
            thread = threading.Thread(target=lambda seen=of_new_thread: seen.append(torch.get_num_threads()))
            thread.start()
            thread.join()
            assert of_new_thread == [threads]
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_a_pixel_depends_on_no_other() -> None:
    layer = noise((32, 32), np.float32)
    layer[..., 3] = 1
    spoilt = layer.copy()
    spoilt[10, 10] = np.nan
    spoilt[20, 5, 1] = np.inf
    transfer = some((32, 32))
    expected, result = transfer.apply(layer), transfer.apply(spoilt)
    others = np.ones((32, 32), bool)
    others[10, 10] = others[20, 5] = False
    assert bits(result[others]) == bits(expected[others])
    assert bits(result[~others]) == bits(spoilt[~others])


# --- depth --------------------------------------------------------------------------------------------------


def darker(size: tuple[int, int]) -> ColorTransfer:
    """Takes 0.8 of every value, everywhere; all in the curve of the channel itself."""
    curves = np.zeros((8, 8, 4, 8, 3))
    for channel in range(3):
        curves[..., channel, :, channel] = -0.2 * np.linspace(0, 1, 8)
    return ColorTransfer(curves, size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_map_that_is_known_is_applied_exactly(dtype: Any) -> None:
    layer = noise((31, 45), dtype, channels=3)
    expected = layer.astype(np.float64)
    expected = np.where(expected > 0, expected * 0.8, expected)
    result = darker((31, 45)).apply(layer)
    if np.dtype(dtype).kind == "u":
        assert np.abs(result - expected).max() <= 0.51
    else:
        np.testing.assert_allclose(result, expected, rtol=2e-3 if dtype is np.float16 else 1e-5, atol=1e-6)


def test_16_bits_stay_16_bits() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)[..., None].repeat(3, 2)
    result = darker((256, 256)).apply(ramp)
    assert len(np.unique(result)) > 52_000
    assert (np.diff(result[..., 0].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("space", ["srgb", "linear"])
def test_light_above_one_keeps_its_order_and_its_gain(space: Any) -> None:
    ramp = np.linspace(0, 64, 64 * 256, dtype=np.float32).reshape(64, 256)[..., None].repeat(3, 2)
    result = darker((64, 256)).apply(ramp, space=space)
    assert (np.diff(result[..., 0].ravel()) >= 0).all()
    assert result.max() > 32
    gain = result[ramp >= 1] / ramp[ramp >= 1]
    assert gain.max() - gain.min() < 0.05


def test_half_floats_do_not_overflow() -> None:
    brighter = ColorTransfer(-darker((8, 8)).curves, (8, 8))
    layer = np.full((8, 8, 3), np.finfo(np.float16).max, np.float16)
    assert np.isfinite(brighter.apply(layer)).all()


def test_linear_layers_get_the_change_that_encoded_ones_get() -> None:
    encoded = np.random.default_rng(0).random((40, 40, 3), np.float32)
    light = srgb_to_linear(torch.from_numpy(encoded)).numpy()
    result = linear_to_srgb(torch.from_numpy(some((40, 40)).apply(light, space="linear"))).numpy()
    np.testing.assert_allclose(result, some((40, 40)).apply(encoded), atol=1e-5)


# --- awkward shapes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 8000), (8000, 3), (7, 8), (15, 1)])
def test_layers_of_any_shape_are_worked_on(size: tuple[int, int]) -> None:
    layer = noise(size, np.uint8, channels=3)
    assert bits(zero(size).apply(layer)) == bits(layer)
    assert some(size).apply(layer).shape == layer.shape
    result = darker(size).apply(layer)
    assert np.abs(result - layer * 0.8).max() <= 0.51


# --- progress, cancelling, errors ---------------------------------------------------------------------------


def test_progress_is_told_on_the_calling_thread_up_to_the_end() -> None:
    told: list[tuple[int, int]] = []

    def on_progress(done: int, total: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append((done, total))

    some((100, 90)).apply(noise((100, 90), np.uint8), tile_pixels=100, on_progress=on_progress)
    assert len(told) > 10
    assert told == sorted(told)
    assert told[-1] == (9000, 9000)


class StopError(Exception):
    pass


def test_an_exception_in_progress_stops_the_work_and_leaves_nothing_running() -> None:
    calls = 0

    def on_progress(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise StopError

    before = threading.active_count()
    with pytest.raises(StopError):
        some((400, 400)).apply(noise((400, 400), np.uint8), tile_pixels=60, on_progress=on_progress)
    assert calls == 3
    assert threading.active_count() == before


def test_an_error_in_a_worker_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StopError

    monkeypatch.setattr("gknet.transfer.slicing.Slicer._change_pixels", broken)
    before = threading.active_count()
    with pytest.raises(StopError):
        some((50, 50)).apply(noise((50, 50), np.uint8))
    assert threading.active_count() == before


def test_what_does_not_fit_is_refused() -> None:
    transfer = zero((10, 10))
    with pytest.raises(InputError, match="10 x 10"):
        transfer.apply(np.zeros((10, 11, 3), np.uint8))
    with pytest.raises(InputError):
        transfer.apply(np.zeros((10, 10, 3), np.uint8), mask=np.zeros((9, 10), np.uint8))
    with pytest.raises(UnsupportedError):
        transfer.apply(np.zeros((10, 10, 3), np.float64))
    with pytest.raises(UnsupportedError):
        transfer.apply(np.zeros((10, 10), np.uint8))
    with pytest.raises(InputError):
        transfer.apply(np.zeros((10, 10, 3), np.uint8), strength=1.1)
    with pytest.raises(InputError):
        transfer.apply(np.zeros((10, 10, 3), np.uint8), strength=float("nan"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("masked", [False, True])
def test_floats_within_one_get_the_same_beside_others_as_alone(dtype: Any, masked: bool) -> None:
    """They take a shorter way where a tile holds no others; which tile that is must not show."""
    random = np.random.default_rng(3)
    size = (40, 30)
    transfer = ColorTransfer(random.normal(0, 0.05, (8, 8, 4, 8, 3)), size)
    layer = random.random((*size, 4)).astype(dtype)
    layer[::5, ::3] = 0
    mask = random.random(size).astype(np.float32) if masked else None
    alone = transfer.apply(layer, mask=mask, strength=0.8)
    for other in (2.0, -0.0, np.nan):
        beside = layer.copy()
        beside[:, 7, 1] = other
        result = transfer.apply(beside, mask=mask, strength=0.8)
        assert np.delete(result, 7, axis=1).tobytes() == np.delete(alone, 7, axis=1).tobytes()
    assert alone.tobytes() != layer.tobytes()
