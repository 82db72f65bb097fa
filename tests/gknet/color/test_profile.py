"""Color profiles there and back, judged by another engine."""

from __future__ import annotations

import io

import numpy as np
import pytest
import pyvips
import skimage.data
from PIL import Image, ImageCms

from gknet.color import profile
from gknet.errors import UnsupportedError

WIDE_GAMUT = pyvips.Operation.call("profile_load", "p3")


def photograph() -> np.ndarray:
    """(201, 302, 3) uint8."""
    return np.ascontiguousarray(skimage.data.coffee()[:201, :302])


def test_profiles_are_converted_as_another_engine_user_does_it() -> None:
    rgb = photograph()
    values = (rgb / 255).astype(np.float32)
    p3, srgb = ImageCms.ImageCmsProfile(io.BytesIO(WIDE_GAMUT)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    expected = ImageCms.profileToProfile(Image.fromarray(rgb), p3, srgb, renderingIntent=intent)
    found = profile.to_srgb(values, WIDE_GAMUT)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.clip(0, 1) * 255, np.asarray(expected), atol=1.5)
    assert np.abs(found - values).max() > 0.02
    assert found.min() < 0, "colors outside sRGB are not clipped"


def test_a_profile_there_and_back_is_exact_to_16_bits() -> None:
    values = (photograph() / 255).astype(np.float32)
    back = profile.to_srgb(profile.from_srgb(values, WIDE_GAMUT), WIDE_GAMUT)
    np.testing.assert_allclose(back, values, atol=3e-4)
    assert profile.to_srgb(values, None) is values
    assert profile.from_srgb(values, None) is values


def test_the_engine_agrees_roughly_for_profiles_that_are_left_to_it() -> None:
    values = (photograph() / 255).astype(np.float32)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = profile._convert_values(values, WIDE_GAMUT, srgb)
    np.testing.assert_allclose(found, profile.to_srgb(values, WIDE_GAMUT).clip(0, 1), atol=0.02)


def test_gray_profiles_are_converted_too(gray_profile: bytes) -> None:
    values = np.repeat(np.linspace(0, 1, 512, dtype=np.float32).reshape(16, 32, 1), 3, axis=2)
    found = profile.to_srgb(values, gray_profile)
    linear = values**1.8
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_allclose(profile.from_srgb(found, gray_profile), values, atol=2e-3)


@pytest.mark.parametrize("damaged", [b"nonsense", WIDE_GAMUT[:300]])
def test_a_damaged_profile_is_refused_when_used(damaged: bytes) -> None:
    values = np.zeros((2, 2, 3), np.float32)
    for convert in (profile.to_srgb, profile.from_srgb):
        with pytest.raises(UnsupportedError, match="profile"):
            convert(values, damaged)
