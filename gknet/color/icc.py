"""Building of ICC profiles from primaries and tone curves (ICC.1:2022)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of red, green, blue and white (CIE 1931)."""

REC_709: Chromaticities = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
ADOBE_RGB: Chromaticities = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)

Curve = tuple[float, ...] | np.ndarray
"""From encoded values to linear light: (g,) for V^g; (g, a, b, c, d) for (a V + b)^g, or c V where V < d; or a table of
equal steps (n,) in [0, 1]."""

SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
ADOBE_GAMMA: Curve = (563 / 256,)

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def build_profile(name: str, chromaticities: Chromaticities, *curves: Curve, gray: bool = False) -> bytes:
    """Return an RGB profile with these primaries and curves, or a gray one with this curve.

    name: shown by other programs.   curves: one for all channels, or three.
    Raises ValueError for primaries that do not span colors or a curve that does not rise.
    """
    red, green, blue = map(_build_curve, curves * 3 if len(curves) == 1 else curves)
    tags = {b"desc": _build_text(name), b"cprt": _build_text("CC0"), b"wtpt": _build_xyz(_D50)}
    if gray:
        return _build_file(b"GRAY", {**tags, b"kTRC": green})
    adaptation, matrix = _to_d50(chromaticities)
    tags[b"chad"] = b"sf32\0\0\0\0" + _pack_numbers(adaptation.ravel())
    tags |= {tag: _build_xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)}
    return _build_file(b"RGB ", {**tags, b"rTRC": red, b"gTRC": green, b"bTRC": blue})


def _to_d50(chromaticities: Chromaticities) -> tuple[np.ndarray, np.ndarray]:
    """Return the adaptation to D50 and the adapted matrix from linear light to XYZ, both (3, 3) (Bradford)."""
    points = np.reshape(chromaticities, (4, 2))
    columns = np.column_stack([points, 1 - points.sum(axis=1)])  # x, y, z
    if not np.isfinite(columns).all() or columns[3, 1] <= 0:
        raise ValueError(f"the chromaticities {chromaticities} are out of range")
    white = columns[3] / columns[3, 1]
    primaries = columns[:3].T
    if abs(np.linalg.det(primaries)) < 1e-4:
        raise ValueError(f"{chromaticities} do not span colors")
    matrix = primaries * np.linalg.solve(primaries, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adaptation = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD
    return adaptation, adaptation @ matrix


def _build_curve(curve: Curve) -> bytes:
    if isinstance(curve, np.ndarray):
        if (np.diff(curve) < 0).any() or not 0 <= curve[0] < curve[-1] <= 1:
            raise ValueError("the curve does not rise")
        levels: bytes = np.rint(curve * 65535).astype(">u2").tobytes()
        return b"curv\0\0\0\0" + struct.pack(">I", len(curve)) + levels
    if not 0.1 <= curve[0] <= 10:
        raise ValueError(f"the exponent {curve[0]} of a curve is out of range")
    return b"para\0\0\0\0" + struct.pack(">HH", 3 if len(curve) > 1 else 0, 0) + _pack_numbers(curve)


def _pack_numbers(values: Sequence[float] | np.ndarray) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _build_xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _pack_numbers(values)


def _build_text(text: str) -> bytes:
    """Return a text in one language (multiLocalizedUnicodeType)."""
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def _build_file(colors: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = 132 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(data), bytes(4), 0x04400000, b"mntr", colors, b"XYZ ")
    created = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # constant, so that equal colors give equal bytes
    return (head + created + b"acsp").ljust(68, b"\0") + _pack_numbers(_D50) + bytes(48) + table + data
