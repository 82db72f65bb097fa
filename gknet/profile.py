"""Colour profiles: what the network sees is sRGB, whatever space a picture's own values are in."""

from __future__ import annotations

import struct

import numpy as np
import pyvips

from gknet.errors import Unsupported

_SRGB: bytes = pyvips.Operation.call("profile_load", "srgb")


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Encoded sRGB of encoded values in a profile, relative colorimetric; themselves if that is None.

    pixels: (h, w, 3) float32 in [0, 1], and so is the result; colours outside sRGB are clipped to it. Gray
    profiles take R = G = B. Raises Unsupported if the profile is damaged or cannot be used.
    """
    return pixels if profile is None else _through_profiles(pixels, profile, None)


def from_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Encoded values in a profile of encoded sRGB: `to_srgb` backwards, its shapes, ranges and errors."""
    return pixels if profile is None else _through_profiles(pixels, None, profile)


def fits(profile: bytes | None, *, gray: bool) -> bool:
    """Whether there is a profile and it speaks of the colours there are: a gray one is of no use to RGB."""
    return profile is not None and profile[16:20] == (b"GRAY" if gray else b"RGB ")


def _through_profiles(values: np.ndarray, source: bytes | None, target: bytes | None) -> np.ndarray:
    """Values of one profile in those of another; None stands for sRGB.

    Matrix profiles, nearly all there are, are computed here: the engine answers from coarse tables even at
    16 bits, and is off by as much as 14 of 255 in saturated darks. It keeps those made of tables.
    """
    profiles = (source or _SRGB, target or _SRGB)
    try:
        if any(b"A2B0" in _tags(profile) for profile in profiles):
            return _through_engine(values, *profiles)
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            (curves, matrix), (target_curves, target_matrix) = map(_curves_and_matrix, profiles)
        between = np.linalg.inv(target_matrix) @ matrix
    except (pyvips.Error, struct.error, LookupError, ValueError, ArithmeticError) as error:
        raise Unsupported("The colour profile cannot be used.", "Convert the picture to sRGB first.") from error
    steps = np.linspace(0, 1, 65536)
    linear = np.stack([np.interp(values[..., i], steps, curve) for i, curve in enumerate(curves)], axis=-1)
    linear = linear @ between.T
    result = [np.interp(linear[..., i], curve, steps) for i, curve in enumerate(target_curves)]
    return np.stack(result, axis=-1).astype(np.float32)


def _through_engine(values: np.ndarray, source: bytes, target: bytes) -> np.ndarray:
    levels = np.rint(values.clip(0, 1) * 65535).astype(np.uint16)
    image = pyvips.Image.new_from_array(levels, interpretation="rgb16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", source)
    image = image.icc_import(embedded=True, intent="relative").copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", target)
    return np.asarray(image.icc_export(depth=16, intent="relative").numpy(), np.float32) / np.float32(65535)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[start : start + size] for name, start, size in entries}


def _curves_and_matrix(profile: bytes) -> tuple[list[np.ndarray], np.ndarray]:
    """Encoded to linear, three of (65536,), and linear to XYZ, (3, 3), which for gray is any that inverts."""
    tags = _tags(profile)
    if profile[16:20] == b"GRAY":
        return [_curve(tags[b"kTRC"])] * 3, _curves_and_matrix(_SRGB)[1]
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")], np.array(columns).T / 65536


def _curve(tag: bytes) -> np.ndarray:
    """A tone curve at 65536 equal steps (ICC.1:2022, curveType and parametricCurveType)."""
    steps = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        points = np.frombuffer(tag, ">u2", count, 12)
        if count < 2:
            return steps ** (points[0] / 256 if count else 1)
        return np.maximum.accumulate(np.interp(steps, np.linspace(0, 1, count), points / 65535))
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    given = [number / 65536 for number in struct.unpack_from(f">{count}i", tag, 12)]
    gamma, scale, shift, slope, knee, lift, foot = given + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count - 1 :]
    if kind in (1, 2):  # flat at the level of the fourth number, where the others are straight
        slope, knee, lift, foot = 0, -shift / scale, slope, slope
    power = (scale * steps + shift).clip(0) ** gamma + lift
    return np.maximum.accumulate(np.where(steps >= knee, power, slope * steps + foot))
