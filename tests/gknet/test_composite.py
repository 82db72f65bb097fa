"""Layers over backgrounds, and cut-outs made to match them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import pyvips

from gknet import InputError, NoForegroundError, UnsupportedError
from gknet.composite import match_background, paste, scale_onto_canvas
from gknet.files.picture import Picture

WIDE_GAMUT = pyvips.Operation.call("profile_load", "p3")


@pytest.fixture
def layer(photograph: np.ndarray, object_mask: np.ndarray) -> np.ndarray:
    """(200, 100, 4) uint8 with opaque, soft and clear parts."""
    return np.dstack([photograph, object_mask])[10:210, 60:160]


@pytest.mark.parametrize("at", [(0, 0), (-40, 100), (480, -30), (100, 500)])
def test_pasting_mixes_by_alpha_and_leaves_the_rest_to_the_bit(
    photograph: np.ndarray, layer: np.ndarray, at: tuple[int, int]
) -> None:
    result = paste(layer, photograph, at)
    expected = photograph.astype(float)
    for y in range(max(0, at[1]), min(512, at[1] + 200)):
        for x in range(max(0, at[0]), min(512, at[0] + 100)):
            *color, alpha = layer[y - at[1], x - at[0]].astype(float)
            expected[y, x] += (np.array(color) - expected[y, x]) * alpha / 255
    assert np.abs(result - expected).max() <= 0.51
    covered = np.zeros((512, 512), bool)
    rows, columns = np.nonzero(layer[..., 3])
    seen = (rows + at[1] >= 0) & (rows + at[1] < 512) & (columns + at[0] >= 0) & (columns + at[0] < 512)
    covered[rows[seen] + at[1], columns[seen] + at[0]] = True
    assert np.array_equal(result[~covered], photograph[~covered])


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_what_lies_below_clear_pixels_stays_to_the_bit_even_where_it_is_clear_itself(
    photograph: np.ndarray, layer: np.ndarray, depth: type
) -> None:
    full = 1 if depth is np.float32 else np.iinfo(depth).max
    background = (np.dstack([photograph, photograph[..., 0] // 64 * 85]) / 255 * full).astype(depth)
    result = paste((layer / 255 * full).astype(depth), background, (0, 0))
    covered = np.zeros((512, 512), bool)
    covered[:200, :100] = layer[..., 3] > 0
    assert (background[:200, :100][layer[..., 3] == 0][:, 3] == 0).any()
    assert np.array_equal(result[~covered], background[~covered])
    assert not np.array_equal(result[covered], background[covered])


def test_pasting_beside_the_background_is_refused(photograph: np.ndarray, layer: np.ndarray) -> None:
    with pytest.raises(NoForegroundError):
        paste(layer, photograph, (512, 0))


def test_pasting_onto_transparency_follows_over() -> None:
    above = np.array([[[200, 100, 0, 128]]], np.uint8)
    clear = np.zeros((1, 1, 4), np.uint8)
    assert paste(above, clear, (0, 0)).tolist() == [[[200, 100, 0, 128]]]
    half = np.array([[[0, 100, 200, 128]]], np.uint8)
    red, green, blue, alpha = paste(above, half, (0, 0))[0, 0]
    assert (green, alpha) == (100, 192)
    assert red == pytest.approx(200 * 128 / (128 + 128 * 127 / 255), abs=1)
    assert blue == pytest.approx(200 - red, abs=1)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_scaling_keeps_colors_clean_of_what_lies_under_transparency(depth: type) -> None:
    full = 1 if depth is np.float32 else np.iinfo(depth).max
    layer = np.zeros((60, 60, 4), depth)
    layer[..., 1] = full  # green where it cannot be seen
    layer[15:45, 15:45] = (full, 0, 0, full)
    half, at = scale_onto_canvas(layer, 0.5, (3, 4), (512, 512))
    assert at == (3, 4)
    assert half.shape == (30, 30, 4)
    assert half.dtype == depth
    shown = half[..., 3] > 0.05 * full
    assert half[shown][:, 0].min() > 0.9 * full
    assert half[shown][:, 1].max() < 0.1 * full
    assert scale_onto_canvas(layer, 1, (-3, 4), (9, 9))[0] is layer
    gray, _ = scale_onto_canvas(np.ascontiguousarray(layer[..., [0, 3]]), 0.5, (0, 0), (512, 512))
    assert np.array_equal(gray[..., 1], half[..., 3])
    for factor in (0, -1, 0.01, float("nan"), 1e9, float("inf")):
        with pytest.raises(InputError):
            scale_onto_canvas(layer, factor, (0, 0), (512, 512))


@pytest.mark.parametrize("depth", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("factor", "at"), [(3.3, (-250, -200)), (0.37, (-11, -5)), (7.0, (-500, -900)), (1.5, (20, -200))]
)
def test_only_the_visible_part_is_scaled_and_it_is_that_of_the_whole(
    layer: np.ndarray, depth: type, factor: float, at: tuple[int, int]
) -> None:
    layer = layer if depth is np.uint8 else (layer / np.float32(255)).astype(depth)
    whole, _ = scale_onto_canvas(layer, factor, (0, 0), (10_000, 10_000))
    canvas = np.zeros((80, 100, 3), depth)
    part, place = scale_onto_canvas(layer, factor, at, (100, 80))
    assert part.shape[0] <= 80
    assert part.shape[1] <= 100
    left, top = max(at[0], 0), max(at[1], 0)
    assert place == (left, top)
    expected = whole[top - at[1] : 80 - at[1], left - at[0] : 100 - at[0]]
    np.testing.assert_array_equal(part, expected)  # bit for bit: the same sums of the same pixels
    np.testing.assert_array_equal(paste(part, canvas, place), paste(whole, canvas, at))


@pytest.mark.parametrize("at", [(512, 0), (0, -6000), (10**30, 0), (-2900, 0)])
def test_a_layer_outside_the_picture_is_never_scaled(at: tuple[int, int]) -> None:
    layer = np.zeros((200, 100, 4), np.uint8)
    layer[:, :90] = 255
    tracemalloc.start()
    with pytest.raises(NoForegroundError, match="outside the background"):
        scale_onto_canvas(layer, 30, at, (512, 512))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # bytes; the whole layer would take 290 MB


def test_a_cutout_takes_the_depth_of_its_background(layer: np.ndarray, photograph: np.ndarray) -> None:
    deep = Picture(pixels=photograph.astype(np.uint16) * np.uint16(257))
    found = match_background(Picture(pixels=layer), deep)
    assert np.array_equal(found, layer.astype(np.uint16) * np.uint16(257))
    shallow = match_background(Picture(pixels=found), Picture(pixels=photograph))
    assert np.array_equal(shallow, layer)
    floating = match_background(Picture(pixels=layer), Picture(pixels=np.zeros((4, 4, 3), np.float32)))
    np.testing.assert_allclose(floating, layer / np.float32(255), atol=1e-6)


def test_a_cutout_takes_the_profile_of_its_background(layer: np.ndarray, photograph: np.ndarray) -> None:
    wide = Picture(pixels=photograph, profile=WIDE_GAMUT)
    found = match_background(Picture(pixels=layer), wide)
    assert np.array_equal(found[..., 3], layer[..., 3])
    assert np.abs(found.astype(int) - layer).max() > 3  # other numbers for the same colors
    back = match_background(Picture(pixels=found, profile=WIDE_GAMUT), Picture(pixels=photograph))
    assert np.abs(back.astype(int) - layer).max() <= 2


def test_a_cutout_with_16_bits_keeps_them_in_another_profile() -> None:
    ramp = np.arange(64000, dtype=np.uint16).reshape(200, 320, 1) + np.uint16(700)
    cutout = np.concatenate([ramp, ramp, ramp, np.full_like(ramp, 65535)], axis=2)
    below = Picture(pixels=np.zeros((2, 2, 3), np.uint16), profile=WIDE_GAMUT)
    found = match_background(Picture(pixels=cutout), below)
    assert np.abs(found.astype(int) - cutout).max() <= 16  # gray is the same in both, which share their curve


def test_a_cutout_on_a_gray_background_becomes_gray(layer: np.ndarray, photograph: np.ndarray) -> None:
    gray = Picture(pixels=photograph[..., :1])
    found = match_background(Picture(pixels=layer), gray)
    assert found.shape == (*layer.shape[:2], 2)
    assert paste(found, gray.pixels, (5, 5)).shape == gray.pixels.shape


def test_a_cutout_without_transparency_is_refused(photograph: np.ndarray) -> None:
    with pytest.raises(UnsupportedError, match="no alpha channel"):
        match_background(Picture(pixels=photograph), Picture(pixels=photograph))
