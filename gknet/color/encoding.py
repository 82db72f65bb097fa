"""Meaning of a picture's numbers: encoded sRGB, linear light, or the values of an ICC profile."""

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
    decode_srgb,
    encode_srgb,
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
    """Color space and transfer function of pixel values.

    space: "srgb" for encoded values, "linear" for linear light with sRGB's primaries, which takes no profile.
    profile: ICC profile of encoded values, None for sRGB.

    Raises TypeError for a field of the wrong type, InputError for an invalid combination, UnsupportedError for a
    damaged profile.
    """

    space: Space = "srgb"
    profile: bytes | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.space, str):
            raise TypeError(f"space must be a string, not {type(self.space).__qualname__}.")
        if not isinstance(self.profile, bytes | None):
            raise TypeError(f"profile must be bytes or None, not {type(self.profile).__qualname__}.")
        if self.space not in ("srgb", "linear"):
            raise InputError(f"Unknown color space {self.space!r}.", "Choose 'srgb' or 'linear'.")
        if self.profile is None:
            return
        if self.space == "linear":
            raise InputError("Linear light cannot be combined with a color profile.", "Give only one of them.")
        if not (is_compatible(self.profile, gray=True) or is_compatible(self.profile, gray=False)):
            raise InputError("The color profile is neither RGB nor gray.", "Convert the picture to sRGB first.")
        is_srgb(self.profile)  # parses it, and caches the result

    @property
    def is_srgb(self) -> bool:
        """Whether the values are encoded sRGB."""
        return self.space == "srgb" and (self.profile is None or is_srgb(self.profile))

    def to_srgb(self, values: np.ndarray) -> np.ndarray:
        """Convert values (h, w, 3) float32, nominally in [0, 1], to encoded sRGB; the order beyond [0, 1] is
        preserved. They stay as they are if the profile is sRGB.
        """
        if self.is_srgb:
            return values
        if self.space == "linear":
            return encode_srgb(values)
        return to_srgb(values, self.profile)

    def from_srgb(self, values: np.ndarray) -> np.ndarray:
        """Convert encoded sRGB to this encoding, the inverse of `to_srgb`."""
        if self.is_srgb:
            return values
        if self.space == "linear":
            return decode_srgb(values)
        return from_srgb(values, self.profile)

    def to_display(self, pixels: np.ndarray) -> Any:
        """Convert pixels to what a display shows: a libvips picture of encoded sRGB, float in [0, 1], alpha unchanged.

        pixels: (H, W, 3 or 4) uint8, uint16, float16 or float32; read lazily from the array itself. NaN and infinite
        values become NaN.
        """
        if pixels.dtype.kind == "u":
            return to_unit_range(pixels) if self.is_srgb else self._convert_to_srgb(pixels)
        picture = to_unit_range(pixels)
        display = picture.clamp() if self.is_srgb else self._convert_to_srgb(pixels)
        return display + (picture - picture)

    def _convert_to_srgb(self, pixels: np.ndarray) -> Any:
        """Convert pixels of any other encoding to encoded sRGB in [0, 1]."""
        matrix_profile = None if self.profile is None else parse_matrix_profile(self.profile)
        if self.profile is not None and matrix_profile is None:
            levels = _to_levels(to_unit_range(pixels))
            return convert_with_engine(levels, self.profile, SRGB).cast("float") * (1 / (STEPS - 1))
        light = to_unit_range(pixels)
        if matrix_profile is not None:
            matrix = np.eye(pixels.shape[2])
            matrix[:3, :3] = matrix_profile.to_srgb
            light = _apply_tables(_to_image(pixels), matrix_profile.curves, _STEPS)
            light = light.recomb(pyvips.Image.new_from_array(matrix))
        # A table over the square root of light, so that dark values get enough of its steps.
        return _apply_tables(light.clamp() ** 0.5, [_SRGB_OF_ROOT] * 3, _STEPS**2)


ENCODED_SRGB = Encoding()
"""Default encoding of pixels."""


def full_value(dtype: np.dtype[Any]) -> float:
    """Return the value that stands for full intensity, 1.0: an integer type's largest, 1 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def to_unit_range(pixels: np.ndarray) -> Any:
    """Return a libvips picture of float values, integers scaled to [0, 1], read lazily from the array itself."""
    picture = _to_image(pixels)
    return picture.cast("float") * (1 / full_value(pixels.dtype)) if pixels.dtype.kind == "u" else picture


def _to_image(pixels: np.ndarray) -> Any:
    if pixels.dtype == np.float16:  # libvips has no float16
        pixels = pixels.astype(np.float32)
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels))


_STEPS = np.linspace(0, 1, STEPS, dtype=np.float32)
_SRGB_OF_ROOT = np.where(_STEPS**2 <= 0.0031308, _STEPS**2 * 12.92, 1.055 * _STEPS ** (2 / 2.4) - 0.055)


def _to_levels(picture: Any) -> Any:
    """Convert a float picture to 16-bit levels."""
    return picture.linear(STEPS - 1, 0.5).cast("ushort")


def _apply_tables(picture: Any, curves: Sequence[np.ndarray], alpha: np.ndarray) -> Any:
    """Map each band of a picture through its table."""
    tables = np.stack([*curves, alpha][: picture.bands], axis=-1).astype(np.float32)
    if picture.format == "uchar":
        tables = np.ascontiguousarray(tables[:: (STEPS - 1) // 255])
    elif picture.format == "float":
        picture = _to_levels(picture)
    return picture.maplut(pyvips.Image.new_from_array(tables[None]))
