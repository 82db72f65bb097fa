"""The same picture in every depth, space and profile, beside itself as float32 linear light.

docs/colour.md states the bounds. To see the largest differences, run
`python -m pytest tests/gknet/transfer/test_color_table.py -s -m "slow or not slow"`.

A soft mask blends in the picture's own values, as every host does, and half-way in linear light is another color than
half-way in sRGB. So the mask here is hard. The scene's colors, and what becomes of them, lie inside all gamuts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gknet import Encoding, Harmonizer
from gknet.color.encoding import Space
from tests.gknet import icc

pytestmark = pytest.mark.integration

DEPTHS = {"u8": np.uint8, "u16": np.uint16, "f16": np.float16, "f32": np.float32}
BOUNDS = {"u8": 1 / 255, "u16": 1e-3, "f16": 1e-3, "f32": 1e-3}
LUMA = np.array([0.299, 0.587, 0.114])


def srgb_encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def srgb_decoded(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0.04045) + 0.055) / 1.055) ** 2.4)


@dataclass(frozen=True)
class Kind:
    """A way to write colors.   primaries: None for gray.   power: None for sRGB's curve."""

    name: str
    primaries: tuple[tuple[float, float], ...] | None
    power: float | None
    space: Space = "srgb"
    tagged: bool = True

    @property
    def profile(self) -> bytes | None:
        if not self.tagged:
            return None
        curve = icc.srgb_curve() if self.power is None else icc.gamma(self.power)
        return icc.gray(curve) if self.primaries is None else icc.rgb(self.primaries, curve)

    def matrix(self) -> np.ndarray:
        """Linear light of sRGB to its own."""
        assert self.primaries is not None
        return np.linalg.inv(icc.adapted(self.primaries)) @ icc.adapted(icc.SRGB)

    def of_light(self, light: np.ndarray) -> np.ndarray:
        """Its values, float64, of linear light of sRGB."""
        if self.primaries is not None:
            light = light @ self.matrix().T
        return srgb_encoded(light) if self.power is None else light ** (1 / self.power)

    def to_light(self, values: np.ndarray) -> np.ndarray:
        light = srgb_decoded(values) if self.power is None else values**self.power
        return light if self.primaries is None else light @ np.linalg.inv(self.matrix()).T


KINDS = [
    Kind("sRGB, no profile", icc.SRGB, None, tagged=False),
    Kind("linear, no profile", icc.SRGB, 1.0, "linear", tagged=False),
    Kind("sRGB", icc.SRGB, None),
    Kind("Display P3", icc.DISPLAY_P3, None),
    Kind("Adobe RGB", icc.ADOBE_RGB, 563 / 256),
    Kind("ProPhoto RGB", icc.PROPHOTO, 461 / 256),
    Kind("linear Rec. 709", icc.SRGB, 1.0),
    Kind("gray, no profile", None, None, tagged=False),
    Kind("gray, linear", None, 1.0, "linear", tagged=False),
    Kind("gray, gamma 2.2", None, 563 / 256),
]


def quantised(values: np.ndarray, depth: type) -> np.ndarray:
    if depth in (np.uint8, np.uint16):
        return np.rint(values * np.iinfo(depth).max).astype(depth)
    return values.astype(depth)


def unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float64) / (1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max)


@pytest.fixture(scope="module")
def scene(photograph: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(128, 128, 3) float64 linear light of sRGB, softened so that no gamut clips it, before or after.

    Its object is too dark: as it was, it would fit.
    """
    encoded = photograph[::4, ::4] / 255
    soft = 0.2 + 0.5 * (0.4 * encoded + 0.6 * (encoded @ LUMA)[..., None])
    return srgb_decoded(np.where(mask[..., None] == 255, 0.7 * soft, soft))


@pytest.fixture(scope="module")
def mask(object_mask: np.ndarray) -> np.ndarray:
    return np.where(object_mask[::4, ::4] >= 128, 255, 0).astype(np.uint8)


@pytest.fixture(scope="module", params=["fixed", pytest.param("gknet-s", marks=pytest.mark.slow)])
def network(request: pytest.FixtureRequest) -> tuple[str, Harmonizer]:
    """One that always changes colors alike, and the shipped one."""
    return request.param, request.getfixturevalue({"fixed": "brightening", "gknet-s": "shipped"}[request.param])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_same_colors_come_out_of_every_way_to_write_them(
    network: tuple[str, Harmonizer], scene: np.ndarray, mask: np.ndarray, kind: Kind, depth: str
) -> None:
    name, harmonizer = network
    inside, encoding = mask == 255, Encoding(kind.space, kind.profile)
    light = srgb_decoded(srgb_encoded(scene) @ LUMA) if kind.primaries is None else scene
    pixels = quantised(kind.of_light(light), DEPTHS[depth])
    untouched = harmonizer(pixels, mask, strength=0, encoding=encoding)
    assert untouched.dtype == pixels.dtype
    assert np.array_equal(untouched, pixels)
    result = harmonizer(pixels, mask, encoding=encoding)
    assert np.array_equal(result[~inside], pixels[~inside])
    values = unit(result)
    assert 0 < values.min() < values.max() < 1
    reference = harmonizer(kind.to_light(unit(pixels)).astype(np.float32), mask, encoding=Encoding("linear"))
    error = np.abs(values - kind.of_light(reference.astype(np.float64)))[inside].max()
    print(f"\n| {kind.name} | {depth} | {name} | exact | {error:.5f} | {BOUNDS[depth]:.5f} |", end="")
    assert np.abs(values - unit(pixels))[inside].max() > 0.04
    assert error <= BOUNDS[depth]
