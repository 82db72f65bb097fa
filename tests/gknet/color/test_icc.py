"""Profiles built from primaries and a curve, judged by LittleCMS and by profiles of other origin."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from gknet import Encoding, UnsupportedError
from gknet.color import cicp, icc, profile
from tests.gknet import icc as other

RGB = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
NTSC = (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316)


def by_littlecms(content: bytes, pixels: np.ndarray) -> np.ndarray:
    source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(content)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return np.asarray(
        ImageCms.profileToProfile(Image.fromarray(pixels), source, srgb, renderingIntent=intent, outputMode="RGB")
    )


@pytest.mark.parametrize(
    ("chromaticities", "curves"),
    [
        (icc.REC_709, [(1.0,)]),
        (icc.ADOBE_RGB, [icc.ADOBE_GAMMA]),
        (NTSC, [(2.2,)]),
        (icc.REC_709, [np.linspace(0, 1, 256) ** 1.8]),
        (icc.REC_709, [(1.8,), (2.2,), icc.SRGB_CURVE]),
    ],
)
def test_a_profile_means_the_same_to_littlecms(chromaticities: icc.Chromaticities, curves: list[icc.Curve]) -> None:
    built = icc.build_profile("of a test", chromaticities, *curves)
    assert ImageCms.ImageCmsProfile(io.BytesIO(built)).profile.profile_description == "of a test"
    found = profile.to_srgb((RGB / 255).astype(np.float32), built).clip(0, 1) * 255
    np.testing.assert_allclose(found, by_littlecms(built, RGB), atol=1.5)


def test_gray_means_the_same_to_littlecms() -> None:
    built = icc.build_profile("of a test", icc.REC_709, (1.8,), gray=True)
    gray = RGB[..., 0]
    found = profile.to_srgb(np.repeat((gray / 255).astype(np.float32)[..., None], 3, axis=2), built) * 255
    np.testing.assert_allclose(found, by_littlecms(built, gray), atol=1.5)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((1, 13), profile.SRGB),
        ((12, 13), other.rgb(other.DISPLAY_P3, other.srgb_curve())),
        ((1, 8), other.rgb(other.SRGB, other.gamma(1))),
        ((12, 2), other.rgb(other.DISPLAY_P3, other.srgb_curve())),
        ((2, 8), other.rgb(other.SRGB, other.gamma(1))),
    ],
)
def test_code_points_are_the_profiles_known_by_other_names(points: tuple[int, int], expected: bytes) -> None:
    built = cicp.find_profile(*points, gray=False, subject="a")
    assert built is not None
    values = (RGB / 255).astype(np.float32)
    np.testing.assert_allclose(profile.to_srgb(values, built), profile.to_srgb(values, expected), atol=3e-3)


@pytest.mark.parametrize("transfer", [1, 6, 14, 15])
def test_the_curve_of_video_is_not_srgb(transfer: int) -> None:
    built = cicp.find_profile(1, transfer, gray=False, subject="a")
    assert built is not None
    found = profile.to_srgb(np.full((1, 1, 3), 0.5, np.float32), built)
    light = ((0.5 + 0.099) / 1.099) ** (1 / 0.45)  # ITU-R BT.709
    np.testing.assert_allclose(found, 1.055 * light ** (1 / 2.4) - 0.055, atol=1e-3)


@pytest.mark.parametrize("gray", [False, True])
def test_every_code_point_with_a_profile_is_read_by_littlecms(gray: bool) -> None:
    for primaries in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22):
        for transfer in (1, 4, 5, 6, 7, 8, 13, 14, 15):
            built = cicp.find_profile(primaries, transfer, gray=gray, subject="a")
            assert built is not None
            white = by_littlecms(built, np.full((1, 1) if gray else (1, 1, 3), 255, np.uint8))
            assert white.min() >= 254


def test_unspecified_is_not_stated_and_unknown_is_refused() -> None:
    assert cicp.find_profile(2, 2, gray=False, subject="a") is None
    for points in ((0, 13), (3, 13), (23, 13), (1, 0), (1, 3), (1, 9), (1, 17)):
        with pytest.raises(UnsupportedError, match=f"a.png .*{points[0]} .*{points[1]}") as caught:
            cicp.find_profile(*points, gray=False, subject="a.png")
        assert caught.value.hint
    for transfer in (16, 18):
        with pytest.raises(UnsupportedError, match=r"a.png is HDR \(PQ or HLG\)"):
            cicp.find_profile(9, transfer, gray=False, subject="a.png")


@pytest.mark.parametrize(
    ("chromaticities", "curve"),
    [
        ((0.3, 0.3) * 4, (2.2,)),
        ((0.0,) * 8, (2.2,)),
        ((float("nan"),) * 8, (2.2,)),
        (icc.REC_709, (0.0,)),
        (icc.REC_709, (float("nan"),)),
        (icc.REC_709, (1000.0,)),
        (icc.REC_709, np.linspace(1, 0, 256)),
        (icc.REC_709, np.zeros(256)),
    ],
)
def test_what_spans_no_colors_or_does_not_rise_is_an_error(
    chromaticities: icc.Chromaticities, curve: icc.Curve
) -> None:
    with pytest.raises(ValueError, match=r"color|chromaticities|exponent|rise"):
        icc.build_profile("of a test", chromaticities, curve)


def hdr_profiles() -> dict[str, bytes]:
    """By code points, as in ICC.1:2022, and by name, in the text types of versions 2 and 4."""
    built = icc.build_profile("Rec. 2020", icc.REC_709, (1.0,))
    count = int.from_bytes(built[128:132], "big")
    moved = bytearray(built[:128] + (count + 1).to_bytes(4, "big"))
    for i in range(count):
        name, start, size = built[132 + 12 * i :][:4], built[136 + 12 * i :][:4], built[140 + 12 * i :][:4]
        moved += name + (int.from_bytes(start, "big") + 12).to_bytes(4, "big") + size
    moved += b"cicp" + (len(built) + 12).to_bytes(4, "big") + (12).to_bytes(4, "big") + built[132 + 12 * count :]
    named = other.rgb(other.SRGB, other.gamma(1)).replace(b"made for a test", b"Rec2020 HLG D65")
    return {
        "code points": bytes(moved) + b"cicp\0\0\0\0" + bytes([9, 16, 0, 1]),
        "version 2": named,
        "version 4": icc.build_profile("ITUR_2100_PQ_FULL", icc.REC_709, (1.0,)),
    }


@pytest.mark.parametrize("kind", ["code points", "version 2", "version 4"])
def test_profiles_of_pq_and_hlg_are_refused_by_every_way_in(kind: str) -> None:
    with pytest.raises(UnsupportedError, match="HDR"):
        Encoding(profile=hdr_profiles()[kind])
    Encoding(profile=icc.build_profile("PQR Printers", icc.REC_709, (1.0,)))
