"""Color profiles: conversion between a picture's own values and sRGB, which the network works in."""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass

import numpy as np
import pyvips

from gknet.color.cicp import HDR_TRANSFERS, hdr_error
from gknet.errors import UnsupportedError
from gknet.vips import vips_session

SRGB: bytes = pyvips.Operation.call("profile_load", "srgb")
STEPS = 65536
"""Entries of a tone curve's table."""
_HDR_NAME = re.compile(rb"(?<![A-Za-z])(PQ|HLG)(?![A-Za-z])|ST ?2084")
_SAME = 5e-4  # an eighth of an 8-bit level


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Convert encoded values of a profile to encoded sRGB, relative colorimetric; None converts nothing.

    pixels: (h, w, 3) float32, nominally in [0, 1], as is the result. Colors outside sRGB come out below 0 or above 1,
    except with a table-based profile. Gray profiles take R = G = B.
    Raises UnsupportedError for a damaged or unusable profile.
    """
    if profile is None:
        return pixels
    matrix_profile = parse_matrix_profile(profile)
    if matrix_profile is None:
        return _convert_values(pixels, profile, SRGB)
    return encode_srgb(matrix_profile.decode(pixels) @ matrix_profile.to_srgb.T)


def from_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Convert encoded sRGB to encoded values of a profile, the inverse of `to_srgb` with its shapes, ranges and
    errors.
    """
    if profile is None:
        return pixels
    matrix_profile = parse_matrix_profile(profile)
    if matrix_profile is None:
        return _convert_values(pixels, SRGB, profile)
    return matrix_profile.encode(decode_srgb(pixels) @ matrix_profile.from_srgb.T)


def is_compatible(profile: bytes | None, *, gray: bool) -> bool:
    """Whether there is a profile and its color space matches the pixels: gray for gray, RGB for RGB."""
    return profile is not None and profile[16:20] == (b"GRAY" if gray else b"RGB ")


@functools.lru_cache(maxsize=8)
def is_hdr(profile: bytes) -> bool:
    """Whether a profile's code points or name mean PQ or HLG."""
    try:
        tags = _read_tags(profile)
    except struct.error:
        return False
    if tags.get(b"cicp", b"")[9:10] in [bytes([transfer]) for transfer in HDR_TRANSFERS]:
        return True
    name = tags.get(b"desc", b"").replace(b"\0", b"")  # without its zeros, version 4's UTF-16 reads as ASCII
    return profile[12:16] in (b"mntr", b"spac") and bool(_HDR_NAME.search(name))


@functools.lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether a profile equals sRGB to an eighth of an 8-bit level. Raises as `to_srgb`."""
    other, srgb = parse_matrix_profile(profile), parse_matrix_profile(SRGB)
    assert srgb is not None
    if other is None or np.abs(other.to_srgb - np.eye(3)).max() > _SAME:
        return False
    light = np.repeat(srgb.curves[0][:, None], 3, axis=1)
    return bool(np.abs(other.encode(light) - np.linspace(0, 1, STEPS)[:, None]).max() <= _SAME)


@dataclass(frozen=True, slots=True, eq=False)
class MatrixProfile:
    """A profile of tone curves and a matrix; a gray one has sRGB's matrix and three equal curves.

    curves: three of (STEPS,) float32, encoded to linear.   inverses: three likewise, from the square root of linear
    light to encoded; as functions of the root, no encoding in use is steep.   powers: exponents that extend each curve
    above 1.
    to_srgb, from_srgb: (3, 3) float32, from its linear light to sRGB's and back.
    """

    curves: list[np.ndarray]
    inverses: list[np.ndarray]
    powers: list[float]
    to_srgb: np.ndarray
    from_srgb: np.ndarray

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Convert encoded values (..., 3) float32 to linear light; below 0 and above 1 it stays finite and
        monotonic.
        """
        channels = zip(self.curves, self.powers, strict=True)
        return np.stack([_interpolate(values[..., i], *channel) for i, channel in enumerate(channels)], axis=-1)

    def encode(self, light: np.ndarray) -> np.ndarray:
        """Convert linear light to encoded values, the inverse of `decode`."""
        root = np.copysign(np.sqrt(np.abs(light)), light)
        channels = zip(self.inverses, self.powers, strict=True)
        return np.stack([_interpolate(root[..., i], table, 2 / power) for i, (table, power) in enumerate(channels)], -1)


@functools.lru_cache(maxsize=8)
def parse_matrix_profile(profile: bytes) -> MatrixProfile | None:
    """Return a profile's curves and matrix; None for a table-based profile.

    Matrix profiles, the vast majority, are computed here: libvips's color engine uses coarse tables even at 16 bits and
    is off by up to 14 of 255 in saturated darks. It still handles table-based profiles.
    Raises UnsupportedError for a damaged profile, or one of PQ or HLG.
    """
    if is_hdr(profile):
        raise hdr_error("The color profile")
    try:
        if b"A2B0" in _read_tags(profile):
            return None
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            curves, matrix = _read_curves_and_matrix(profile)
            to_srgb = np.linalg.inv(_read_curves_and_matrix(SRGB)[1]) @ matrix
            from_srgb = np.linalg.inv(to_srgb)
    except (struct.error, LookupError, ValueError, ArithmeticError) as error:
        raise _profile_error() from error
    steps = np.linspace(0, 1, STEPS)
    return MatrixProfile(
        curves=[curve.astype(np.float32) for curve in curves],
        inverses=[np.interp(steps**2, curve, steps).astype(np.float32) for curve in curves],
        powers=[_estimate_power(curve) for curve in curves],
        to_srgb=to_srgb.astype(np.float32),
        from_srgb=from_srgb.astype(np.float32),
    )


def _interpolate(inputs: np.ndarray, table: np.ndarray, power: float) -> np.ndarray:
    """Interpolate a table linearly; mirror it below 0, extend it above 1 by a power."""
    magnitude = np.abs(inputs)
    position = np.fmin(magnitude, 1) * np.float32(STEPS - 1)
    index = np.fmin(position, STEPS - 2).astype(np.int32)
    low = table[index]
    values = low + (position - index.astype(np.float32)) * (table[index + 1] - low)
    beyond = magnitude > 1
    if beyond.any():
        values[beyond] *= magnitude[beyond] ** np.float32(power)
    result: np.ndarray = np.copysign(values, inputs)
    return result


def _estimate_power(curve: np.ndarray) -> float:
    """Estimate a tone curve's exponent at its upper end."""
    below = STEPS - STEPS // 50
    if not 0 < curve[below] < curve[-1]:
        return 1.0
    power = np.log(curve[-1] / curve[below]) / np.log((STEPS - 1) / below)
    return float(np.clip(power, 0.2, 5))


def encode_srgb(light: np.ndarray) -> np.ndarray:
    """Convert linear light, float32 of any shape, to encoded sRGB, as `gknet.color.srgb.linear_to_srgb`."""
    import torch  # late: reading files does not need it

    from gknet.color.srgb import linear_to_srgb

    return linear_to_srgb(torch.from_numpy(light)).numpy()


def decode_srgb(srgb: np.ndarray) -> np.ndarray:
    """Convert encoded sRGB to linear light, the inverse of `encode_srgb`."""
    import torch

    from gknet.color.srgb import srgb_to_linear

    return srgb_to_linear(torch.from_numpy(srgb)).numpy()


@vips_session()
def _convert_values(values: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    levels = np.rint(values.clip(0, 1) * 65535).astype(np.uint16)
    image = pyvips.Image.new_from_array(levels, interpretation="rgb16")
    return np.asarray(convert_with_engine(image, source, target).numpy(), np.float32) / np.float32(65535)


def convert_with_engine(image: pyvips.Image, source: bytes, target: bytes) -> pyvips.Image:
    """Convert a libvips picture of 16-bit values from one profile to another; any alpha is kept.

    Raises UnsupportedError if a profile cannot be used.
    """
    try:
        image = image.copy(interpretation="rgb16")
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", source)
        image = image.icc_import(embedded=True, intent="relative").copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", target)
        return image.icc_export(depth=16, intent="relative")
    except pyvips.Error as error:
        raise _profile_error() from error


def _profile_error() -> UnsupportedError:
    return UnsupportedError("The color profile cannot be used.", "Convert the picture to sRGB first.")


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[start : start + size] for name, start, size in entries}


def _read_curves_and_matrix(profile: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the curves from encoded to linear, three of (STEPS,), and the matrix to XYZ (3, 3), sRGB's for gray."""
    tags = _read_tags(profile)
    if profile[16:20] == b"GRAY":
        return [_read_curve(tags[b"kTRC"])] * 3, _read_curves_and_matrix(SRGB)[1]
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return [_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")], np.array(columns).T / 65536


def _read_curve(tag: bytes) -> np.ndarray:
    """Sample a tone curve at equal steps (ICC.1:2022, curveType and parametricCurveType)."""
    steps = np.linspace(0, 1, STEPS)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count < 2:
            return steps ** (points[0] / 256 if count else 1)
        return np.maximum.accumulate(np.interp(steps, np.linspace(0, 1, count), points / 65535))
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    numbers = [number / 65536 for number in struct.unpack_from(f">{count}i", tag, 12)]
    gamma, scale, shift, slope, knee, lift, foot = numbers + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count - 1 :]
    if kind in (1, 2):  # constant below the knee, at the fourth number; the other kinds are linear there
        slope, knee, lift, foot = 0, -shift / scale, slope, slope
    power = (scale * steps + shift).clip(0) ** gamma + lift
    return np.maximum.accumulate(np.where(steps >= knee, power, slope * steps + foot))
