"""Pictures of any size and depth through the whole way a user's picture goes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image

from gknet import (
    CancelledError,
    Encoding,
    GKNet,
    Harmonizer,
    InputError,
    NoBackgroundError,
    NoForegroundError,
    PictureError,
    UnsupportedError,
    WeightsError,
    edges,
    preset,
)
from gknet.network import weights
from gknet.pixels.box import Box, bounding_box

pytestmark = pytest.mark.integration

DEPTHS = [np.uint8, np.uint16, np.float16, np.float32]


def at_depth(pixels: np.ndarray, depth: type) -> np.ndarray:
    """8-bit pixels in another type, with the same values."""
    if depth is np.uint16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return pixels if depth is np.uint8 else (pixels / np.float32(255)).astype(depth)


def cutout(photograph: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(400, 300, 4): the object as a layer with straight alpha."""
    return np.dstack([photograph, mask])[10:410, 90:390]


@pytest.mark.parametrize("depth", DEPTHS)
def test_untrained_network_gives_the_picture_back_bit_for_bit(
    untrained: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, depth: type
) -> None:
    picture = at_depth(photograph, depth)
    result = untrained(picture, object_mask)
    assert result.dtype == picture.dtype
    assert np.array_equal(result, picture)
    layer = at_depth(cutout(photograph, object_mask), depth)
    assert np.array_equal(untrained.layer(layer, picture, (-30, 200)), layer)


@pytest.mark.parametrize("depth", DEPTHS)
def test_background_stays_equal_to_the_bit(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, depth: type
) -> None:
    # Half of the object's light is gone: there is something to do.
    picture = at_depth((photograph * (1 - object_mask[..., None] / 510)).astype(np.uint8), depth)
    result = shipped(picture, object_mask)
    outside = object_mask == 0
    assert np.array_equal(result[outside], picture[outside])
    assert not np.array_equal(result[~outside], picture[~outside])


def test_foreground_is_changed_as_the_network_says(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    result = brightening(photograph, object_mask).astype(float)
    expected = photograph * 1.3 + 0.02 * 255
    # Brighter ones leave the range, and are rolled off.
    inside = (object_mask == 255) & (expected.max(-1) < 0.7 * 255)
    assert np.abs(result - expected)[inside].mean() < 1.5


@pytest.mark.parametrize("depth", DEPTHS)
def test_alpha_never_changes(shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, depth: type) -> None:
    layer = at_depth(cutout(photograph // 2, object_mask)[::4, ::4], depth)
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    result = shipped.layer(layer, photograph, (25, 15))
    assert result.dtype == layer.dtype
    assert np.array_equal(result[..., 3], layer[..., 3])
    assert not np.array_equal(result, layer)
    picture = at_depth(np.dstack([photograph, 255 - object_mask // 2]), depth)
    assert np.array_equal(shipped(picture, object_mask)[..., 3], picture[..., 3])


def test_strength_is_linear_and_nothing_at_zero(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    picture = at_depth(photograph, np.float32)
    full = shipped(picture, object_mask)
    assert np.array_equal(shipped(picture, object_mask, strength=0), picture)
    half = shipped(picture, object_mask, strength=0.5)
    np.testing.assert_allclose(half, picture + (full - picture) / 2, atol=1e-6)


def test_layer_and_mask_forms_agree(shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray) -> None:
    """A layer laid exactly over its own place is the same scene as the composite with its mask."""
    hard = np.where(object_mask >= 128, 255, 0).astype(np.uint8)
    by_mask = shipped(photograph, hard)
    layer = shipped.layer(np.dstack([photograph, hard]), photograph, (0, 0))
    difference = np.abs(by_mask.astype(int) - layer[..., :3])[hard == 255]
    assert difference.mean() < 1.5


def test_grayscale_stays_grayscale(shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray) -> None:
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    gray = photograph[..., 1]
    result = shipped(gray, object_mask)
    assert result.shape == gray.shape
    assert np.array_equal(result[object_mask == 0], gray[object_mask == 0])
    one = shipped(gray[:, :, None], object_mask)
    assert np.array_equal(one[:, :, 0], result)
    layer = shipped.layer(np.dstack([gray, object_mask]), gray)
    assert np.array_equal(layer[..., 1], object_mask)


def test_linear_light_is_the_same_change_seen_in_another_encoding(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    encoded = at_depth(photograph, np.float32)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    in_linear = shipped(linear.astype(np.float32), object_mask, encoding=Encoding("linear")).clip(0, None)
    back = np.where(in_linear <= 0.0031308, in_linear * 12.92, 1.055 * in_linear ** (1 / 2.4) - 0.055)
    by_encoded = shipped(encoded, object_mask)
    assert np.abs(back - by_encoded)[object_mask == 255].mean() < 0.02


def test_a_wide_profile_changes_what_is_seen_but_not_what_is_kept(
    shipped: Harmonizer, untrained: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    """The same colors, written in sRGB or in Display P3, come out as the same colors."""
    from gknet.color.profile import from_srgb, to_srgb

    profile = pyvips.Operation.call("profile_load", "p3")
    encoded = at_depth(photograph, np.float32)
    wide = from_srgb(encoded, profile)
    assert np.array_equal(untrained(wide, object_mask, encoding=Encoding(profile=profile)), wide)
    result = shipped(wide, object_mask, encoding=Encoding(profile=profile))
    assert np.array_equal(result[object_mask == 0], wide[object_mask == 0])
    expected = shipped(encoded, object_mask)
    inside = object_mask == 255

    def error(harmonized: np.ndarray) -> float:
        return float(np.abs(to_srgb(harmonized.clip(0, 1), profile) - expected.clip(0, 1))[inside].mean())

    assert error(result) < 0.001
    assert error(shipped(wide, object_mask)) > 5 * error(result)


def test_colors_beyond_white_stay_beyond_white(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    picture = at_depth(photograph, np.float32)
    picture[200:210, 220:230] = 4.0
    result = shipped(picture, object_mask, encoding=Encoding("linear"))
    assert np.isfinite(result).all()
    assert result[200:210, 220:230].min() > 1.5


@pytest.mark.parametrize("share", [0.01, 0.001])
def test_tiny_objects_are_seen_through_a_window(share: float) -> None:
    """At 20 megapixels: the network must see the object at no less than 24 pixels, its surroundings around it."""
    from gknet import harmonizer as module

    height, width = 3648, 5472
    side = round((share * height * width) ** 0.5)
    assert side * 256 / width < module.SMALLEST_OBJECT
    canvas, box = Box(0, 0, width, height), Box(4000, 200, side, side)
    window = module._choose_window(box, canvas, 256)
    seen = side * 256 / max(window.width, window.height)
    assert module.SMALLEST_OBJECT <= seen <= 64
    assert window.intersect(canvas) == window
    assert box.intersect(window) == box
    # A window never zooms in further than the picture's own pixels: that would only cost context.
    small = Box(0, 0, 1000, 800)
    assert module._choose_window(Box(500, 300, 10, 10), small, 256)[2:] == (256, 256)
    assert module._choose_window(Box(100, 100, 5, 5), Box(0, 0, 200, 150), 256) == Box(0, 0, 200, 150)
    # One that is large enough is seen with the whole canvas.
    large = Box(1000, 1000, 600, 600)
    assert module._choose_window(large, canvas, 256) == canvas


@pytest.mark.parametrize(("side", "seen"), [(96, 192), (200, 384), (384, 384), (1000, 384)])
def test_small_pictures_are_shown_larger_but_never_more_than_twice(shipped: Harmonizer, side: int, seen: int) -> None:
    picture = np.full((side, side // 2, 3), 90, np.uint8)
    picture[side // 4 : side // 2, side // 8 : side // 4] = 180
    mask = (picture[..., 0] == 180).astype(np.uint8) * 255
    sight = shipped.make_sight(picture, mask, bounding_box(mask), Encoding())
    assert sight.composite.shape == (seen, seen // 2, 3)
    assert abs(sight.mask.mean() - (mask > 0).mean()) < 0.005
    place = sight.locate(bounding_box(mask))
    assert place == pytest.approx((seen / 8, seen / 4, seen / 8, seen / 4), abs=0.5)


@pytest.mark.parametrize("share", [0.01, 0.001])
def test_tiny_objects_are_harmonized_at_20_megapixels(
    brightening: Harmonizer, photograph: np.ndarray, share: float
) -> None:
    picture = np.tile(photograph // 2 + 40, (8, 11, 1))[:3648, :5472]
    mask = np.zeros(picture.shape[:2], np.uint8)
    side = round((share * mask.size) ** 0.5)
    inside = (slice(3000, 3000 + side), slice(17, 17 + side))
    mask[inside] = 255
    result = brightening(picture, mask)
    expected = picture[inside] * 1.3 + 0.02 * 255
    assert np.abs(result[inside] - expected).mean() < 2
    assert np.array_equal(result[mask == 0], picture[mask == 0])


@pytest.mark.parametrize("shape", [(3, 8000), (8000, 3), (2, 1), (17, 33), (256, 256)])
def test_pictures_of_any_shape_work(shipped: Harmonizer, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = np.zeros(shape, np.uint8)
    mask[: max(1, shape[0] // 2), : max(1, shape[1] // 2)] = 255
    result = shipped(picture, mask)
    assert result.shape == picture.shape
    assert np.array_equal(result[mask == 0], picture[mask == 0])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16", "F"])
def test_pil_images_come_back_as_they_were(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, mode: str
) -> None:
    image = Image.fromarray(photograph)
    if mode == "I;16":
        image = Image.fromarray(photograph[..., 0].astype(np.uint16) * np.uint16(257))
    elif mode == "F":
        image = Image.fromarray(photograph[..., 0].astype(np.float32) / 255)
    else:
        image = image.convert(mode)
    image.info["comment"] = "kept"
    result = shipped(image, Image.fromarray(object_mask))
    assert (result.mode, result.size, result.info["comment"]) == (image.mode, image.size, "kept")


def test_masks_of_any_type_mean_the_same(shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray) -> None:
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    hard = object_mask >= 128
    expected = shipped(photograph, hard)
    full = [hard.astype(np.uint8) * 255, hard.astype(np.uint16) * 65535, hard.astype(np.float64)]
    pictures = [Image.fromarray(hard), Image.fromarray(full[0]), Image.fromarray(full[1]), Image.fromarray(hard * 1.0)]
    for mask in [*full, hard[:, :, None], *pictures]:
        assert np.array_equal(shipped(photograph, mask), expected)


def test_soft_masks_of_any_type_mean_the_same(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    mask = object_mask[::4, ::4]
    composite = (photograph[::4, ::4] * (1 - mask[..., None] / 510)).astype(np.uint8)
    expected = shipped(composite, mask).astype(int)
    deep, unit = mask.astype(np.uint16) * np.uint16(257), mask / np.float32(255)
    for same in (deep, unit, unit.astype(np.float64), *map(Image.fromarray, (mask, deep, unit))):
        assert np.abs(shipped(composite, same) - expected).max() <= 1
    edge = (mask > 60) & (mask < 195)
    assert np.abs(expected - composite)[edge].mean() > 3


def test_a_mask_that_is_nowhere_full_takes_its_part_of_the_change(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    composite = (photograph * (1 - object_mask[..., None] / 510)).astype(np.uint8)
    full, half = shipped(composite, object_mask), shipped(composite, object_mask // 2)
    change, part = (picture.astype(float) - composite for picture in (full, half))
    assert np.abs(part - change * (127 / 255)).max() < 2
    assert np.abs(change[object_mask == 255]).mean() > 3


def test_progress_names_the_stages_and_cancel_changes_nothing(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    seen: list[str] = []
    shipped(photograph, object_mask, on_progress=lambda stage, *_: seen.append(stage))
    assert list(dict.fromkeys(seen)) == ["reduce", "network", "apply"]

    before = photograph.copy()
    for stop_at in dict.fromkeys(seen):

        def stop(stage: str, done: int, total: int, stop_at: str = stop_at) -> None:
            del done, total
            if stage == stop_at:
                raise CancelledError("Cancelled.")

        with pytest.raises(CancelledError):
            shipped(photograph, object_mask, on_progress=stop)
    assert np.array_equal(photograph, before)


def test_inputs_are_never_written_to(shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray) -> None:
    picture, mask = photograph[::4, ::4].copy(), object_mask[::4, ::4].copy()
    picture.flags.writeable = mask.flags.writeable = False
    shipped(picture, mask)
    shipped.layer(np.dstack([picture, mask]), picture)


def test_transparent_pixels_may_hold_anything(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    layer = at_depth(np.dstack([photograph, object_mask]), np.float32)
    clean = shipped.layer(layer, photograph)
    shown = object_mask > 0
    other = shipped(layer, shown)
    layer[~shown, :3] = np.nan
    np.testing.assert_array_equal(shipped(layer, shown)[shown], other[shown])
    result = shipped.layer(layer, photograph)
    np.testing.assert_array_equal(result[shown], clean[shown])
    assert np.isnan(result[~shown, :3]).all()


def test_requests_that_cannot_be_met_are_refused_with_a_hint(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    def refused(error: type[InputError], match: str, *arguments: object, **options: object) -> None:
        with pytest.raises(error, match=match) as caught:
            shipped(*arguments, **options)  # type: ignore[type-var, arg-type]
        assert caught.value.hint

    refused(NoForegroundError, "completely black", photograph, np.zeros_like(object_mask))
    refused(NoBackgroundError, "same value", photograph, np.full_like(object_mask, 255))
    refused(NoBackgroundError, "same value", photograph, np.full_like(object_mask, 100))
    refused(InputError, "100x200 pixels, the picture 512x512", photograph, object_mask[:200, :100])
    refused(InputError, "largest value is 1 of 255", photograph, (object_mask > 127).astype(np.uint8))
    refused(InputError, "shape", photograph, photograph)
    refused(InputError, "mode RGBA", photograph, Image.fromarray(np.dstack([photograph, object_mask])))
    refused(InputError, "Expected an array of shape", photograph[:0], object_mask[:0].astype(np.float32))
    refused(InputError, "between 0 and 1", photograph, object_mask.astype(np.float32))
    refused(InputError, "strength", photograph, object_mask, strength=1.5)
    refused(InputError, "network size", photograph, object_mask, network_size=4000)
    refused(InputError, "int64", photograph.astype(np.int64), object_mask)
    refused(InputError, "Expected an array of shape", np.zeros((512, 512, 5), np.uint8), object_mask)
    refused(InputError, "NaN or infinite", np.full((512, 512, 3), np.nan, np.float32), object_mask)
    refused(InputError, "% of the picture is brighter than white", photograph.astype(np.float32), object_mask)
    refused(UnsupportedError, r"convert\('I;16'\)", Image.fromarray(photograph[..., 0].astype(np.int32)), object_mask)
    refused(UnsupportedError, "CMYK", Image.fromarray(photograph).convert("CMYK"), object_mask)
    layer = cutout(photograph, object_mask)
    with pytest.raises(InputError, match="Expected a foreground"):
        shipped.layer(layer[..., :3], photograph)
    with pytest.raises(NoForegroundError, match="outside the background"):
        shipped.layer(layer, photograph, (600, 0))
    with pytest.raises(NoForegroundError, match="transparent"):
        shipped.layer(np.zeros_like(layer), photograph)
    with pytest.raises(NoBackgroundError, match="covers"):
        shipped.layer(np.full((600, 600, 4), 255, np.uint8), photograph, (-10, -10))
    for device in ("abacus", "cpu:x", "cuda:99"):
        with pytest.raises(InputError, match="not available"):
            Harmonizer.from_pretrained(device=device)


def test_arguments_out_of_range_are_refused(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    picture, mask = photograph[::4, ::4], object_mask[::4, ::4]
    layer = np.dstack([picture, mask])

    def refused(word: str, **options: object) -> None:
        with pytest.raises(InputError, match=word) as caught:
            shipped.fit_layer(layer, picture, **{"at": (0, 0), "canvas": (128, 128), **options})  # type: ignore[arg-type]
        assert caught.value.hint

    for at in ((1,), (1, 2, 3)):
        refused("Invalid at", at=at)
    refused("Invalid canvas", canvas=(10**9, 10**9))
    refused("cannot show a canvas", canvas=(256, 128))
    refused("network size", network_size=-100)
    refused("opacity", opacity=0)
    fit = shipped.fit_layer(layer, picture, at=(0, 0), canvas=(128, 128), network_size=np.uint8(100))  # type: ignore[arg-type]
    for selection in (mask.astype(np.float32), mask[:9], mask > 0):
        with pytest.raises(InputError, match="Expected a selection"):
            fit.apply(layer, selection=selection)


def test_arguments_of_the_wrong_type_are_named(shipped: Harmonizer) -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    layer = np.dstack([picture, np.eye(40, dtype=np.uint8) * 255])
    place = {"at": (0, 0), "canvas": (40, 40)}
    fit = shipped.fit_layer(layer, picture, **place)  # type: ignore[arg-type]
    wrong: list[tuple[str, Callable[[Any], object]]] = [
        ("network must be a GKNet", Harmonizer),
        ("name_or_path must be a string or a path", Harmonizer.from_pretrained),
        ("folder must be a string or a path", shipped.save_pretrained),
        ("composite must be a NumPy array or a PIL image", lambda value: shipped(value, picture[..., 0])),
        ("mask must be a NumPy array or a PIL image", lambda value: shipped(picture, value)),
        ("foreground must be a NumPy array", lambda value: shipped.layer(value, picture)),
        ("background must be a NumPy array", lambda value: shipped.layer(layer, value)),
        ("layer must be a NumPy array", lambda value: shipped.fit_layer(value, picture, **place)),
        ("reference must be a NumPy array", lambda value: shipped.fit_layer(layer, value, **place)),
        ("selection must be a NumPy array", lambda value: shipped.fit_layer(layer, picture, selection=value, **place)),
        ("layer must be a NumPy array", fit.apply),
        ("selection must be a NumPy array", lambda value: fit.apply(layer, selection=value)),
        ("on_progress must be a function", lambda value: shipped.layer(layer, picture, on_progress=value)),
        ("profile must be bytes or None", lambda value: Encoding(profile=value)),
        ("space must be a string", Encoding),
        ("encoding must be an Encoding", lambda value: shipped(picture, picture[..., 0], encoding=value)),
        ("encoding must be an Encoding", lambda value: shipped.layer(layer, picture, encoding=value)),
        (
            "reference_encoding must be an Encoding",
            lambda value: shipped.fit_layer(layer, picture, reference_encoding=value, **place),
        ),
        ("strength must be a number", lambda value: fit.apply(layer, strength=value)),
        ("opacity must be a number", lambda value: shipped.fit_layer(layer, picture, opacity=value, **place)),
        ("network_size must be an integer", lambda value: shipped.layer(layer, picture, network_size=value)),
        ("device must be a string or a torch.device", lambda value: Harmonizer.from_pretrained(device=value)),
        ("config must be a GKNetConfig", GKNet),
        ("name must be a string", preset),
    ]
    for words, call in wrong:
        with pytest.raises(TypeError, match=rf"{words}, not list\."):
            call([[1, 2], [3, 4]])
    for pair in ((1.5, 2), "ab", None):
        with pytest.raises(TypeError, match="at must be two integers"):
            shipped.fit_layer(layer, picture, at=pair, canvas=(40, 40))  # type: ignore[arg-type]


def test_a_layer_outside_the_picture_is_not_cleaned_first(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "clean_edges", lambda *_: pytest.fail("cleaned"))
    with pytest.raises(NoForegroundError, match="outside the background"):
        shipped.layer(cutout(photograph, object_mask), photograph, (10**12, 0), clean_edges=True)


def test_a_damaged_image_file_is_an_error_of_input(shipped: Harmonizer, photograph: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "JPEG")
    damaged = Image.open(io.BytesIO(buffer.getvalue()[:9000]))
    with pytest.raises(PictureError, match="cannot be read"):
        shipped(damaged, np.ones((512, 512), bool))


def test_an_answer_that_is_not_finite_is_an_error(photograph: np.ndarray, object_mask: np.ndarray) -> None:
    network = weights.build(replace(preset("gknet-s"), width=8))
    with torch.no_grad():
        network.head.weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match="NaN"):
        Harmonizer(network)(photograph[::4, ::4], object_mask[::4, ::4])
