"""Soft edges: the old background goes, everything else stays."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gknet import CancelledError, Harmonizer, InputError, MissingPackageError, edges
from tests.benchmarks.edges import BENEATH, cases, error, silent

pytestmark = pytest.mark.integration

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def layer() -> Array:
    """(h, w, 4) uint8: a photograph behind the matte of a dog's fur, another photograph in its edge."""
    return next(case.layer for case in cases(BENEATH[1:2], most=1) if case.matte == "upper-dog")[::2, ::2]


def at_depth(layer: Array, depth: Any) -> Array:
    if depth is np.uint16:
        return layer.astype(np.uint16) * np.uint16(257)
    return layer if depth is np.uint8 else (layer / np.float32(255)).astype(depth)


def band_of(layer: Array) -> Array:
    full = 1 if layer.dtype.kind == "f" else np.iinfo(layer.dtype).max
    band: Array = (layer[..., -1] > 0) & (layer[..., -1] < full)
    return band


def test_on_real_mattes_the_error_falls_to_less_than_half_and_never_grows() -> None:
    shares: list[float] = []
    for case in cases(BENEATH[:2], most=1):
        before, after = error(case.layer, case.truth)[0], error(edges.clean_edges(case.layer, silent), case.truth)[0]
        assert after <= 1.05 * before, case[:2]
        shares.append(after / before)
    assert len(shares) == 10
    assert np.mean(shares) < 0.5


def test_an_edge_that_is_clean_already_loses_far_less_than_a_dirty_one_wins() -> None:
    made = cases(BENEATH[1:], most=1)
    for dirty, clean in zip(made, made, strict=True):
        lost = error(edges.clean_edges(clean.layer, silent), clean.truth)[0]
        assert lost < 0.5 * error(dirty.layer, dirty.truth)[0], clean[:2]


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float16, np.float32])
def test_nothing_but_the_colors_of_the_edge_changes(layer: Array, depth: Any, channels: int) -> None:
    pixels = at_depth(layer[..., 4 - channels :], depth)
    before = pixels.copy()
    result = edges.clean_edges(pixels, silent)
    assert np.array_equal(pixels, before)
    assert (result.dtype, result.shape) == (pixels.dtype, pixels.shape)
    assert np.array_equal(result[..., -1], pixels[..., -1])
    band = band_of(pixels)
    assert np.array_equal(result[~band], pixels[~band])
    assert not np.array_equal(result[band], pixels[band])
    shallow = edges.clean_edges(layer[..., 4 - channels :], silent)[band].astype(np.float32)
    full = np.float32(at_depth(np.uint8([255]), depth)[0])
    assert np.abs(result[band].astype(np.float32) / full * 255 - shallow).max() < 2


def test_what_lies_under_clear_pixels_may_be_no_number(layer: Array) -> None:
    pixels = at_depth(layer, np.float32)
    clear, band = pixels[..., 3] == 0, band_of(pixels)
    expected = edges.clean_edges(pixels, silent)
    pixels[clear, :3] = np.nan
    result = edges.clean_edges(pixels, silent)
    assert np.array_equal(result[band], expected[band])
    assert np.isnan(result[clear, :3]).all()
    pixels[pixels[..., 3] == 1, 0] = np.inf
    with pytest.raises(InputError, match="NaN or infinite"):
        edges.clean_edges(pixels, silent)


def test_light_above_one_is_cleaned_too(layer: Array) -> None:
    pixels = at_depth(layer, np.float32)
    expected = edges.clean_edges(pixels, silent)
    pixels[..., :3] *= 8
    result = edges.clean_edges(pixels, silent)
    np.testing.assert_allclose(result[..., :3] / 8, expected[..., :3], atol=0.1)
    assert result.max() > 4


def test_layers_without_a_soft_edge_are_returned_as_they_are(layer: Array) -> None:
    hard, faint = layer.copy(), layer.copy()
    hard[..., 3] = np.where(layer[..., 3] > 127, 255, 0)
    faint[..., 3] //= 2  # nothing of it is solid
    for pixels in (hard, faint, layer[..., :3], layer[..., :1]):
        assert edges.clean_edges(pixels, silent) is pixels


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (1, 40), (40, 1), (3, 3)])
def test_layers_of_any_shape_are_cleaned(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*size, 4), dtype=np.uint8)
    pixels[0, 0, 3], pixels[-1, -1, 3] = 255, 90
    result = edges.clean_edges(pixels, silent)
    assert np.array_equal(result[~band_of(pixels)], pixels[~band_of(pixels)])


def test_a_reduced_copy_gives_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in cases(BENEATH[:1], most=1) if case.matte == "lower-dog")
    whole = error(edges.clean_edges(case.layer, silent), case.truth)[0]
    monkeypatch.setattr(edges, "LARGEST_COPY", case.layer.shape[0] * case.layer.shape[1] // 9)
    reduced = error(edges.clean_edges(case.layer, silent), case.truth)[0]
    assert reduced < 1.3 * whole
    assert reduced < 0.5 * error(case.layer, case.truth)[0]


def test_strips_do_not_show(layer: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = edges.clean_edges(layer, silent)
    monkeypatch.setattr(edges, "_STRIP", 7)
    assert np.array_equal(edges.clean_edges(layer, silent), expected)


def test_cancelling_leaves_the_layer_alone(layer: Array) -> None:
    before = layer.copy()
    for stop_at in (0, edges._STRIP):

        def stop(_stage: str, done: int, _total: int, stop_at: int = stop_at) -> None:
            if done >= stop_at:
                raise CancelledError("Cancelled.")

        with pytest.raises(CancelledError):
            edges.clean_edges(layer, stop)
    assert np.array_equal(layer, before)


def test_the_number_of_torchs_threads_is_left_alone() -> None:
    """In a process of its own, because numba starts its threads only once in a process."""
    program = """
import numpy as np
import torch
from gknet import edges

layer = np.full((40, 40, 4), 200, np.uint8)
layer[..., 3] = np.linspace(0, 255, 40).astype(np.uint8)
torch.set_num_threads(3)
assert edges.clean_edges(layer, lambda *_: None) is not layer
print(torch.get_num_threads())
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stdout.split() == ["3"], process.stderr


def test_without_pymatting_one_line_says_what_to_do(layer: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymatting", None)
    with pytest.raises(MissingPackageError, match="needs the package PyMatting") as caught:
        edges.clean_edges(layer, silent)
    assert "gknet-harmonize[edges]" in caught.value.hint


def test_the_harmonizer_works_on_the_cleaned_layer(shipped: Harmonizer, layer: Array, photograph: Array) -> None:
    clean = edges.clean_edges(layer, silent)
    stages: list[str] = []
    result = shipped.layer(
        layer, photograph, (40, 60), clean_edges=True, on_progress=lambda stage, *_: stages.append(stage)
    )
    assert np.array_equal(result, shipped.layer(clean, photograph, (40, 60)))
    assert list(dict.fromkeys(stages)) == ["clean", "reduce", "network", "apply"]
    assert np.array_equal(shipped.layer(layer, photograph, (40, 60), strength=0, clean_edges=True), clean)
    assert np.array_equal(shipped.layer(layer, photograph, (40, 60), strength=0), layer)
