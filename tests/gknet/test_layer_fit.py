"""A layer fitted once over a reduced scene, and applied at any strength and size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import pyvips
import skimage.data
import torch
from PIL import Image

from gknet import Encoding, Harmonizer, InputError, NoBackgroundError, NoForegroundError, Trims
from gknet.color.srgb import srgb_to_linear
from gknet.fits import LayerFit

pytestmark = pytest.mark.integration

AT = (60, -40)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """(600, 900, 3) uint8: a cup on a table (public domain), the scene below the layer."""
    return np.asarray(Image.fromarray(skimage.data.coffee()).resize((900, 600)))


@pytest.fixture(scope="module")
def layer(photograph: np.ndarray, object_mask: np.ndarray) -> np.ndarray:
    """(512, 512, 4): an astronaut with straight alpha."""
    return np.dstack([photograph, object_mask])


def reduced(picture: np.ndarray, width: int) -> np.ndarray:
    image = pyvips.Image.new_from_array(picture)
    return np.asarray(image.resize(width / image.width, kernel="linear").numpy())


def test_over_the_whole_scene_it_is_what_layer_does(shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray) -> None:
    fit = shipped.fit_layer(layer, scene, at=AT, canvas=(900, 600))
    for strength in (0.0, 0.4, 1.0):
        expected = shipped.layer(layer, scene, AT, strength=strength)
        assert np.array_equal(fit.apply(layer, strength=strength), expected)


@pytest.mark.parametrize("light", [1.0, 0.5])
def test_it_knows_how_much_it_changes(shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, light: float) -> None:
    given = np.dstack([(layer[..., :3] * light).astype(np.uint8), layer[..., 3]])
    fit = shipped.fit_layer(given, scene, at=AT, canvas=(900, 600))
    shown = (given[..., 3] > 127) & (np.mgrid[:512, :512][0] >= -AT[1])
    change = (fit.apply(given)[shown].astype(float) - given[shown])[:, :3]
    assert fit.change == pytest.approx(np.sqrt(np.square(change).mean()), rel=0.1)


@pytest.mark.parametrize("width", [300, 450])
def test_a_reduced_scene_gives_nearly_the_same(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, width: int
) -> None:
    # At half its light: as it is it nearly fits, and rounding would weigh as much as what is to be done.
    dark = np.dstack([layer[..., :3] // 2, layer[..., 3]])
    whole = shipped.layer(dark, scene, AT).astype(int)
    fit = shipped.fit_layer(dark, reduced(scene, width), at=AT, canvas=(900, 600))
    difference = np.abs(fit.apply(dark).astype(int) - whole)[dark[..., 3] > 0]
    change = np.abs(whole - dark)[dark[..., 3] > 0]
    assert difference.mean() < 0.1 * change.mean()
    assert difference.mean() < 1


def test_a_tiny_object_is_looked_at_closely_over_a_reduced_scene(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray
) -> None:
    small = np.asarray(Image.fromarray(layer).resize((40, 40)))
    large = np.asarray(Image.fromarray(scene).resize((2700, 1800)))
    whole = shipped.layer(small, large, (1900, 900)).astype(int)
    fit = shipped.fit_layer(small, scene, at=(1900, 900), canvas=(2700, 1800))
    difference = np.abs(fit.apply(small).astype(int) - whole)[small[..., 3] > 0]
    assert difference.mean() < 2


def test_a_smaller_copy_of_the_layer_can_be_shown_first(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray
) -> None:
    fit = shipped.fit_layer(layer, scene, at=AT, canvas=(900, 600))
    preview = layer[::4, ::4]
    shown = fit.apply(preview, strength=0.7).astype(int)
    expected = fit.apply(layer, strength=0.7)[::4, ::4].astype(int)
    assert np.array_equal(shown[..., 3], preview[..., 3])
    assert np.abs(shown - expected).mean() < 1


def test_a_selection_says_what_is_the_object(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    below = np.zeros_like(photograph)
    fit = shipped.fit_layer(photograph, below, at=(0, 0), canvas=(512, 512), selection=object_mask)
    result = fit.apply(photograph, selection=object_mask)
    outside = object_mask == 0
    assert np.array_equal(result[outside], photograph[outside])
    # The layer covers the scene, so what is not selected is the scene, as with a composite and its mask.
    difference = np.abs(result.astype(int) - shipped(photograph, object_mask))
    assert difference.mean() < 0.5


def test_scene_and_layer_may_be_in_other_spaces(shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray) -> None:
    import torch

    unit = layer.astype(np.float32) / 255
    linear = np.dstack([srgb_to_linear(torch.from_numpy(unit[..., :3].copy())).numpy(), unit[..., 3]])
    encoded = shipped.fit_layer(layer, scene, at=AT, canvas=(900, 600))
    fit = shipped.fit_layer(
        linear, scene, at=AT, canvas=(900, 600), encoding=Encoding("linear"), reference_encoding=Encoding()
    )
    result = srgb_to_linear(torch.from_numpy(encoded.apply(unit)[..., :3].clip(0, 1))).numpy()
    inside = layer[..., 3] > 200
    assert np.abs(fit.apply(linear)[..., :3] - result)[inside].mean() < 0.01


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_layer_that_the_scene_shines_through_is_harmonized_like_an_opaque_one(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, kind: type[np.generic]
) -> None:
    layer = layer.copy()
    layer[..., :3] //= 2
    opaque = shipped.fit_layer(layer, scene, at=AT, canvas=(900, 600)).apply(layer)
    by_opacity = shipped.fit_layer(layer, scene, at=AT, canvas=(900, 600), opacity=0.3).apply(layer)
    assert np.array_equal(by_opacity, opaque)
    pale = layer if kind is np.uint8 else (layer / np.float32(255)).astype(kind)
    pale = np.dstack([pale[..., :3], (pale[..., 3] * 0.4).astype(kind)])
    by_alpha = shipped.fit_layer(pale, scene, at=AT, canvas=(900, 600)).apply(pale)
    assert np.array_equal(by_alpha[..., 3], pale[..., 3])
    shown = layer[..., 3] == 255
    found = by_alpha[..., :3] * (1 if kind is np.uint8 else 255)
    assert np.abs(found - opaque[..., :3].astype(float))[shown].mean() < 1
    assert np.abs(opaque[..., :3].astype(int) - layer[..., :3])[shown].mean() > 5


def test_what_is_not_selected_is_as_opaque_as_its_layer(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    white, canvas = np.full_like(photograph, 255), (512, 512)
    inside = object_mask > 127
    selection = inside.astype(np.uint8) * np.uint8(255)
    composite, half_white = photograph.copy(), photograph // 2 + 128
    composite[inside] //= 2
    half = shipped.fit_layer(composite, white, at=(0, 0), canvas=canvas, selection=selection, opacity=0.5)
    opaque = shipped.fit_layer(composite, white, at=(0, 0), canvas=canvas, selection=selection)
    shown = np.where(inside[..., None], composite, half_white)
    expected = shipped.fit_layer(shown, white, at=(0, 0), canvas=canvas, selection=selection)

    def apart(first: LayerFit, second: LayerFit) -> float:
        results = [fit.apply(composite)[inside].astype(int) for fit in (first, second)]
        return float(np.abs(results[0] - results[1]).mean())

    assert apart(half, expected) < 1
    assert apart(half, opaque) > 2


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float16, np.float32])
def test_an_untrained_network_changes_nothing(
    untrained: Harmonizer, layer: np.ndarray, scene: np.ndarray, depth: type
) -> None:
    pixels = layer.astype(np.uint16) * np.uint16(257) if depth is np.uint16 else layer
    if np.issubdtype(depth, np.floating):
        pixels = (layer / np.float32(255)).astype(depth)
    fit = untrained.fit_layer(pixels, reduced(scene, 300), at=AT, canvas=(900, 600), opacity=0.8)
    assert np.array_equal(fit.apply(pixels), pixels)


def test_what_cannot_be_fitted_is_refused(shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray) -> None:
    canvas = (900, 600)
    with pytest.raises(NoForegroundError, match="opaque"):
        shipped.fit_layer(layer[..., :3], scene, at=AT, canvas=canvas)
    with pytest.raises(NoForegroundError, match="selection does not contain"):
        shipped.fit_layer(layer, scene, at=AT, canvas=canvas, selection=np.zeros((512, 512), np.uint8))
    with pytest.raises(NoForegroundError, match="outside the background"):
        shipped.fit_layer(layer, scene, at=(900, 0), canvas=canvas)
    full = np.full((600, 900, 4), 255, np.uint8)
    with pytest.raises(NoBackgroundError):
        shipped.fit_layer(full, scene, at=(0, 0), canvas=canvas)
    with pytest.raises(NoBackgroundError):
        shipped.fit_layer(full // 2, scene, at=(0, 0), canvas=canvas, opacity=0.5)
    with pytest.raises(InputError, match="opacity"):
        shipped.fit_layer(layer, scene, at=AT, canvas=canvas, opacity=0)
    with pytest.raises(InputError, match="Expected a selection"):
        shipped.fit_layer(layer, scene, at=AT, canvas=canvas, selection=np.ones((5, 5), np.uint8))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_where_the_scene_shows_nothing_its_mean_color_stands_in(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, kind: type[np.generic]
) -> None:
    full = 1 if kind is np.float32 else np.iinfo(kind).max
    deep = (scene / np.float64(255) * full).astype(kind)
    alpha = np.full((600, 900, 1), full, kind)
    alpha[:, 700:] = 0
    garbage = deep.copy()
    garbage[:, 700:] = np.nan if kind is np.float32 else 7
    filled = deep.copy()
    mean = deep[:, :700].mean(axis=(0, 1), dtype=np.float64)
    filled[:, 700:] = (mean if kind is np.float32 else np.rint(mean)).astype(kind)
    found = shipped.fit_layer(layer, np.dstack([garbage, alpha]), at=AT, canvas=(900, 600)).apply(layer)
    expected = shipped.fit_layer(layer, filled, at=AT, canvas=(900, 600)).apply(layer)
    assert np.abs(found.astype(int) - expected).max() <= 1  # the mean, added up in another order


def test_a_scene_that_shows_nothing_at_all_is_refused(shipped: Harmonizer, layer: np.ndarray) -> None:
    with pytest.raises(NoBackgroundError, match="Nothing is visible"):
        shipped.fit_layer(layer, np.zeros((600, 900, 4), np.uint8), at=AT, canvas=(900, 600))


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_alpha_that_is_not_above_zero_counts_as_transparent(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, value: float
) -> None:
    floats = layer.astype(np.float32) / 255
    odd = floats.copy()
    odd[..., 3][layer[..., 3] == 0] = value
    canvas = (900, 600)
    fit, expected = (shipped.fit_layer(one, scene, at=AT, canvas=canvas) for one in (odd, floats))
    assert np.array_equal(fit.apply(odd)[..., :3], expected.apply(floats)[..., :3])
    odd[..., 3] = value
    with pytest.raises(NoForegroundError, match="transparent everywhere"):
        shipped.fit_layer(odd, scene, at=AT, canvas=canvas)


@pytest.mark.parametrize("encoding", [Encoding(), Encoding("linear")])
@pytest.mark.parametrize("depth", [np.uint8, np.float32])
def test_trims_of_zero_change_nothing_and_others_only_the_object(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, encoding: Encoding, depth: type
) -> None:
    given = layer if depth == np.uint8 else (layer / np.float32(255)).astype(np.float32)
    fit = shipped.fit_layer(given, scene, at=AT, canvas=(900, 600), encoding=encoding)
    plain = fit.apply(given)
    assert np.array_equal(fit.apply(given, trims=Trims()), plain)
    trimmed = fit.apply(given, trims=Trims(brightness=-50, saturation=-30))
    assert np.array_equal(trimmed[..., 3], given[..., 3])
    clear = given[..., 3] == 0
    assert np.array_equal(trimmed[clear], given[clear])
    assert trimmed[~clear][:, :3].mean() < 0.95 * plain[~clear][:, :3].mean()
    assert np.array_equal(fit.apply(given, strength=0.0, trims=Trims(warmth=100)), given)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_the_first_variant_is_the_answer_and_the_others_move_only_the_object(
    shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray, depth: type
) -> None:
    full = np.iinfo(depth).max if np.dtype(depth).kind == "u" else 1
    given = (layer / 255 * full).astype(depth)
    fit = shipped.fit_layer(given, scene, at=AT, canvas=(900, 600))
    plain = fit.apply(given)
    assert np.array_equal(fit.apply(given, variant=1), plain)
    assert sum(variant.probability for variant in fit.variants) == pytest.approx(1)
    solid, clear = given[..., 3] == full, given[..., 3] == 0
    colors = torch.from_numpy(plain[solid][:, :3] / full)
    for number, variant in enumerate(fit.variants[1:], start=2):
        result = fit.apply(given, variant=number)
        assert np.array_equal(result[..., 3], given[..., 3])
        assert np.array_equal(result[clear], given[clear])
        assert variant.curve is not None
        miss = 255 * np.abs(result[solid][:, :3] / full - variant.curve.apply(colors).numpy())
        assert np.sqrt(np.square(miss).mean()) < 1.2  # of 255 levels; the map's own curves are piecewise linear
        assert np.array_equal(fit.apply(given, variant=number, strength=0.0), given)


def test_a_variant_that_an_object_lacks_is_refused(shipped: Harmonizer, layer: np.ndarray, scene: np.ndarray) -> None:
    fit = shipped.fit_layer(layer, scene, at=AT, canvas=(900, 600))
    few = replace(fit, variants=fit.variants[:3])
    with pytest.raises(InputError, match="has only 3 versions"):
        few.apply(layer, variant=4)
    for wrong in (0, 6):
        with pytest.raises(InputError, match="between 1 and 5"):
            fit.apply(layer, variant=wrong)
    for wrong in (1.0, True, "1"):  # type: ignore[assignment]
        with pytest.raises(TypeError, match="variant must be an integer"):
            shipped.layer(layer, scene, AT, variant=wrong)


@pytest.mark.parametrize("place", [(0, 0), (811, 810), (2939, 1939)])
def test_a_small_object_in_a_large_layer_has_the_versions_of_the_object_alone(
    shipped: Harmonizer, scene: np.ndarray, place: tuple[int, int]
) -> None:
    left, top = place
    cutout = np.dstack([scene[200:260, 300:360] // 2, np.full((60, 60), 255, np.uint8)])
    whole = np.zeros((2000, 3000, 4), np.uint8)
    whole[top : top + 60, left : left + 60] = cutout
    large = np.tile(scene, (4, 4, 1))[:2000, :3000]
    alone = shipped.fit_layer(cutout, large, at=place, canvas=(3000, 2000))
    within = shipped.fit_layer(whole, large, at=(0, 0), canvas=(3000, 2000))
    assert len(within.variants) == len(alone.variants) > 2
    for number in range(2, len(alone.variants) + 1):
        found = within.apply(whole, variant=number)[top : top + 60, left : left + 60, :3].astype(int)
        assert np.abs(found - alone.apply(cutout, variant=number)[..., :3]).mean() < 4
        assert np.abs(found - within.apply(whole)[top : top + 60, left : left + 60, :3]).mean() > 4


def test_a_variant_is_the_same_for_a_composite_and_its_layer(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    mask = object_mask > 127
    composite = shipped(photograph, mask, variant=2)
    layer = np.dstack([photograph, np.where(mask, np.uint8(255), np.uint8(0))])
    alone = shipped.layer(layer, photograph, variant=2)
    assert np.array_equal(composite[~mask], photograph[~mask])
    assert np.abs(composite[mask].astype(int) - alone[mask][:, :3]).mean() < 0.5
    assert np.abs(composite[mask].astype(int) - shipped(photograph, mask)[mask]).mean() > 6


def test_trims_are_the_same_for_a_composite_and_its_layer(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    trims = Trims(brightness=-30, warmth=60)
    mask = object_mask > 127
    composite = shipped(photograph, mask, trims=trims)
    layer = np.dstack([photograph, np.where(mask, np.uint8(255), np.uint8(0))])
    alone = shipped.layer(layer, photograph, trims=trims)
    assert np.array_equal(composite[~mask], photograph[~mask])
    assert np.abs(composite[mask].astype(int) - alone[mask][:, :3]).mean() < 0.5
