"""What a picture's numbers stand for, from files to files and beyond 0..1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gknet import CancelledError, Harmonizer, InputError, UnsupportedError
from gknet.color.encoding import ENCODED_SRGB, Encoding, full_value
from gknet.color.profile import SRGB, is_srgb, parse_matrix_profile
from gknet.composite import paste
from gknet.files import formats, picture
from gknet.pixels.box import bounding_box
from gknet.scene import CompositeScene, LayerScene
from gknet.transfer.trims import NO_TRIMS
from tests.gknet import icc

PROFILES = {
    "Display P3": icc.rgb(icc.DISPLAY_P3, icc.srgb_curve()),
    "Adobe RGB": icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2)),
    "ProPhoto RGB": icc.rgb(icc.PROPHOTO, icc.gamma(1.8)),
    "linear Rec. 709": icc.rgb(icc.SRGB, icc.gamma(1)),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("suffix", "depth"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tif", np.float32)]
)
def test_files_give_what_arrays_give(
    tmp_path: Path,
    brightening: Harmonizer,
    photograph: np.ndarray,
    object_mask: np.ndarray,
    profile: str,
    suffix: str,
    depth: type,
) -> None:
    pixels = photograph[::4, ::4] / (255 if depth is np.float32 else 1)
    pixels = (pixels * (257 if depth is np.uint16 else 1)).astype(depth)
    mask = object_mask[::4, ::4]
    formats.write_picture(tmp_path / f"a{suffix}", pixels, picture.Picture(pixels=pixels, profile=PROFILES[profile]))
    formats.write_picture(tmp_path / "mask.png", mask[..., None], picture.Picture(pixels=mask[..., None]))
    scene = CompositeScene(tmp_path / f"a{suffix}", tmp_path / "mask.png", lambda *_: None)
    scene.write(tmp_path / f"b{suffix}", scene.fit(brightening, 64).apply(1.0, 1, NO_TRIMS))
    written = formats.read_picture(tmp_path / f"b{suffix}")
    assert written.profile == PROFILES[profile]
    assert written.pixels.dtype == depth
    expected = brightening(pixels, mask, network_size=64, encoding=Encoding(profile=PROFILES[profile]))
    assert np.array_equal(written.pixels, expected)
    assert not np.array_equal(written.pixels, pixels)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("name", [*PROFILES, "tables", "gray", "linear"])
def test_the_network_sees_the_same_colors_in_every_encoding(
    untrained: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, name: str, depth: type
) -> None:
    profiles = {**PROFILES, "tables": icc.of_tables(), "gray": icc.gray(icc.gamma(1.8))}
    encoding = Encoding("linear") if name == "linear" else Encoding(profile=profiles[name])
    mask = object_mask[::4, ::4]
    # Inside every gamut.
    srgb = np.float32(0.3) + photograph[::4, ::4] / np.float32(255) * np.array([0.4, 0.3, 0.2], np.float32)
    srgb = srgb[..., [1, 1, 1]] if name == "gray" else srgb
    full = full_value(np.dtype(depth))
    values = encoding.from_srgb(srgb)
    pixels = (np.rint(values * full) if full > 1 else values).astype(depth)
    rounded = encoding.to_srgb(pixels.astype(np.float32) / np.float32(full))
    seen, expected = (
        untrained.make_sight(colors, mask, bounding_box(mask), stated, 64)
        for colors, stated in ((pixels, encoding), (rounded, ENCODED_SRGB))
    )
    within = 2e-3 if name == "tables" else 2e-4
    np.testing.assert_allclose(seen.composite, expected.composite, rtol=0, atol=within)
    np.testing.assert_allclose(seen.foreground, expected.foreground, rtol=0, atol=within)


@pytest.mark.parametrize("depth", [np.float16, np.float32])
@pytest.mark.parametrize("encoding", [*PROFILES, "linear", "srgb"])
def test_values_beyond_the_range_stay_finite_and_in_order(
    shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, depth: type, encoding: str
) -> None:
    pixels = (photograph[::2, ::2] / 255).astype(depth)
    pixels[90:120, 60:160] = np.linspace(-2, 12, 100, dtype=np.float32).astype(depth)[None, :, None]
    mask = np.where(object_mask[::2, ::2] > 127, 255, 0).astype(np.uint8)
    mask[90:120, 60:160] = 255
    stated = Encoding("linear") if encoding == "linear" else Encoding(profile=PROFILES.get(encoding))
    assert np.array_equal(shipped(pixels, mask, strength=0, encoding=stated), pixels)
    result = shipped(pixels, mask, network_size=128, encoding=stated)[90:120, 60:160].astype(np.float64)
    assert np.isfinite(result).all()
    # In order from left to right; between two pixels f16 may not tell apart.
    assert np.diff(result, axis=1).min() >= (0 if depth is np.float32 else -0.01)
    assert result[:, -1].min() > 5
    assert result[:, 0].max() < -0.5


@pytest.mark.parametrize("profile", PROFILES)
def test_curves_go_on_beyond_the_range_and_back(profile: str) -> None:
    known = parse_matrix_profile(PROFILES[profile])
    assert known is not None
    values = np.linspace(-4, 40, 3000, dtype=np.float32).reshape(10, 100, 3)
    light = known.decode(values)
    assert (np.diff(light.reshape(-1)) > 0).all()
    np.testing.assert_allclose(known.encode(light), values, rtol=2e-5, atol=2e-5)
    encoding = Encoding(profile=PROFILES[profile])
    np.testing.assert_allclose(encoding.from_srgb(encoding.to_srgb(values)), values, rtol=1e-3, atol=1e-3)


def test_srgb_is_known_whoever_wrote_its_profile() -> None:
    assert is_srgb(SRGB)
    assert is_srgb(icc.rgb(icc.SRGB, icc.srgb_curve()))
    assert is_srgb(icc.gray(icc.srgb_curve()))
    assert Encoding(profile=SRGB).is_srgb
    assert not any(is_srgb(profile) for profile in PROFILES.values())
    assert not is_srgb(icc.rgb(icc.SRGB, icc.gamma(2.2)))


def test_a_picture_with_srgbs_profile_is_one_without(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    stated = brightening(photograph, object_mask, encoding=Encoding(profile=SRGB))
    assert np.array_equal(stated, brightening(photograph, object_mask))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_profiles_of_tables_work_as_well(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, depth: type
) -> None:
    full = 1 if depth is np.float32 else np.iinfo(depth).max
    layer = (np.dstack([50 + photograph // 2, object_mask]) / 255 * full).astype(depth)[::4, ::4]
    below, tables = photograph[::4, ::4], Encoding(profile=icc.of_tables())
    assert parse_matrix_profile(icc.of_tables()) is None
    assert np.array_equal(brightening.layer(layer, below, encoding=tables, strength=0), layer)
    result = brightening.layer(layer, below, encoding=tables)
    assert np.array_equal(result[..., 3], layer[..., 3])
    plain = brightening.layer(layer, below)
    shown = layer[..., 3] > 0
    error = np.abs(result.astype(float) - plain)[shown] / full
    assert error.max() < 0.03
    assert error.mean() < 0.004


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="Unknown"):
        Encoding("lab")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be combined"):
        Encoding("linear", SRGB)
    with pytest.raises(InputError, match="neither RGB nor gray"):
        Encoding(profile=b"nonsense")
    with pytest.raises(InputError, match="neither RGB nor gray"):
        Encoding(profile=SRGB.replace(b"RGB ", b"CMYK", 1))
    with pytest.raises(UnsupportedError, match="cannot be used"):
        Encoding(profile=SRGB[:250])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float16, np.float32])
def test_alpha_and_background_stay_to_the_bit_in_every_profile(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray, profile: str, depth: type
) -> None:
    mask = object_mask[::4, ::4]
    pixels = np.dstack([photograph[::4, ::4], 255 - mask // 2]) / 255 * full_value(np.dtype(depth))
    pixels = pixels.astype(depth)
    result = brightening(pixels, mask, network_size=64, encoding=Encoding(profile=PROFILES[profile]))
    assert np.array_equal(result[..., 3], pixels[..., 3])
    assert np.array_equal(result[mask == 0], pixels[mask == 0])
    assert not np.array_equal(result, pixels)


def test_files_of_a_cutout_and_its_background_give_what_arrays_give(
    tmp_path: Path, brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    background, cutout, at = photograph[::4, ::4], np.dstack([photograph, object_mask])[::4, ::4], (3, -2)
    encoding = Encoding(profile=PROFILES["ProPhoto RGB"])
    for name, pixels in (("background", background), ("cutout", cutout)):
        like = picture.Picture(pixels=pixels, profile=encoding.profile)
        formats.write_picture(tmp_path / f"{name}.png", pixels, like)
    scene = LayerScene(tmp_path / "cutout.png", tmp_path / "background.png", at, 1.0, lambda *_: None)
    scene.write(tmp_path / "a.png", scene.fit(brightening, 64).apply(1.0, 1, NO_TRIMS))
    written = formats.read_picture(tmp_path / "a.png")
    assert written.profile == encoding.profile
    expected = brightening.layer(cutout, background, at, network_size=64, encoding=encoding)
    assert np.array_equal(written.pixels, paste(expected, background, at))
    assert not np.array_equal(expected, brightening.layer(cutout, background, at, network_size=64))


def test_pixels_that_are_no_numbers_are_copied_where_nobody_sees_them(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    photograph, object_mask = photograph[::4, ::4], object_mask[::4, ::4]
    layer = np.dstack([photograph, object_mask]).astype(np.float32) / 255
    clean = brightening.layer(layer, photograph, encoding=Encoding(profile=PROFILES["Adobe RGB"]))
    hidden = object_mask == 0
    layer[hidden, :3] = np.nan
    result = brightening.layer(layer, photograph, encoding=Encoding(profile=PROFILES["Adobe RGB"]))
    assert np.array_equal(result[~hidden], clean[~hidden])
    assert np.isnan(result[hidden, :3]).all()


def test_a_fit_refuses_what_does_not_suit_it(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    layer = np.dstack([photograph, object_mask])
    wide = Encoding(profile=PROFILES["Display P3"])
    fit = brightening.fit_layer(layer, photograph, at=(0, 0), canvas=(512, 512), encoding=wide)
    for options in ({"strength": 1.5}, {"selection": object_mask[:9]}):
        with pytest.raises(InputError):
            fit.apply(layer, **options)  # type: ignore[arg-type]


def test_cancelling_stops_the_conversion(
    brightening: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    picture, seen = np.tile(photograph, (3, 3, 1)), []
    mask = np.tile(object_mask, (3, 3))

    def stop(stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total))
        if stage == "apply" and 0 < done < total:
            raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        brightening(picture, mask, encoding=Encoding(profile=PROFILES["Display P3"]), on_progress=stop)
    assert seen[-1][0] == "apply"
