"""What a picture's numbers stand for: encoded sRGB, linear light, or the values of an ICC profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyvips

from gknet.color.profile import (
    SRGB,
    STEPS,
    convert_with_engine,
    from_srgb,
    is_compatible,
    is_srgb,
    parse_matrix_profile,
    to_srgb,
)
from gknet.errors import InputError

Space = Literal["srgb", "linear"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """space: "srgb" for encoded values, "linear" for linear light of sRGB's primaries, which has no profile.
    profile: ICC profile of encoded values, None for sRGB's own.

    Raises InputError for what cannot be, UnsupportedError for a damaged profile.
    """

    space: Space = "srgb"
    profile: bytes | None = None

    def __post_init__(self) -> None:
        if self.space not in ("srgb", "linear"):
            raise InputError(f"The space {self.space!r} is unknown.", "Choose 'srgb' or 'linear'.")
        if self.profile is None:
            return
        if self.space == "linear":
            raise InputError("Linear light and a color profile were both named.", "Name one of them.")
        if not (is_compatible(self.profile, gray=True) or is_compatible(self.profile, gray=False)):
            raise InputError("The color profile is not one of RGB or gray.", "Convert the picture to sRGB first.")
        is_srgb(self.profile)  # reads it, and remembers

    @property
    def is_srgb(self) -> bool:
        """Whether the numbers are encoded sRGB as they stand."""
        return self.space == "srgb" and (self.profile is None or is_srgb(self.profile))

    def to_srgb(self, values: np.ndarray) -> np.ndarray:
        """Encoded sRGB of values (h, w, 3) float32, nominally in [0, 1]; what lies beyond stays beyond, in order."""
        if self.space == "linear":
            import torch  # late, as in gknet.color.profile

            from gknet.color.srgb import linear_to_srgb

            return linear_to_srgb(torch.from_numpy(values)).numpy()
        return to_srgb(values, self.profile)

    def from_srgb(self, values: np.ndarray) -> np.ndarray:
        """`to_srgb` backwards."""
        if self.space == "linear":
            import torch

            from gknet.color.srgb import srgb_to_linear

            return srgb_to_linear(torch.from_numpy(values)).numpy()
        return from_srgb(values, self.profile)

    def to_display(self, pixels: np.ndarray) -> Any:
        """Pixels as a display shows them: a libvips picture of encoded sRGB, float in [0, 1], alpha as it is.

        pixels: (H, W, 3 or 4) uint8, uint16, float16 or float32; read lazily from the array itself. What is no
        number, or infinite, becomes NaN.
        """
        if pixels.dtype.kind == "u":
            return to_unit_range(pixels) if self.is_srgb else self._convert_to_srgb(pixels)
        picture = to_unit_range(pixels)
        shown = picture.clamp() if self.is_srgb else self._convert_to_srgb(pixels)
        return shown + (picture - picture)

    def _convert_to_srgb(self, pixels: np.ndarray) -> Any:
        """What is not encoded sRGB as encoded sRGB in [0, 1]."""
        known = None if self.profile is None else parse_matrix_profile(self.profile)
        if self.profile is not None and known is None:
            levels = _to_levels(to_unit_range(pixels))
            return convert_with_engine(levels, self.profile, SRGB).cast("float") * (1 / (STEPS - 1))
        light = to_unit_range(pixels)
        if known is not None:
            matrix = np.eye(pixels.shape[2])
            matrix[:3, :3] = known.to_srgb
            light = _apply_tables(_to_image(pixels), known.curves, _STEPS).recomb(pyvips.Image.new_from_array(matrix))
        # By the root of light, or darks would get few of the table's steps.
        return _apply_tables(light.clamp() ** 0.5, [_SRGB_OF_ROOT] * 3, _STEPS**2)


ENCODED_SRGB = Encoding()
"""What pixels are taken for unless somebody says otherwise."""


def full_value(dtype: np.dtype[Any]) -> float:
    """Return the value that stands for full intensity, 1.0: an integer type's largest, 1 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def to_unit_range(pixels: np.ndarray) -> Any:
    """A libvips picture of float values, integers scaled to [0, 1]; read lazily from the array itself."""
    picture = _to_image(pixels)
    return picture.cast("float") * (1 / full_value(pixels.dtype)) if pixels.dtype.kind == "u" else picture


def _to_image(pixels: np.ndarray) -> Any:
    if pixels.dtype == np.float16:  # libvips has none
        pixels = pixels.astype(np.float32)
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels))


_STEPS = np.linspace(0, 1, STEPS, dtype=np.float32)
_SRGB_OF_ROOT = np.where(_STEPS**2 <= 0.0031308, _STEPS**2 * 12.92, 1.055 * _STEPS ** (2 / 2.4) - 0.055)


def _to_levels(picture: Any) -> Any:
    """A float picture in 16-bit levels."""
    return picture.linear(STEPS - 1, 0.5).cast("ushort")


def _apply_tables(picture: Any, curves: Sequence[np.ndarray], alpha: np.ndarray) -> Any:
    """A picture through a table for each of its bands."""
    tables = np.stack([*curves, alpha][: picture.bands], axis=-1).astype(np.float32)
    if picture.format == "uchar":
        tables = np.ascontiguousarray(tables[:: (STEPS - 1) // 255])
    elif picture.format == "float":
        picture = _to_levels(picture)
    return picture.maplut(pyvips.Image.new_from_array(tables[None]))
