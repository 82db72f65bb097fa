"""The least ICC profiles: primaries, a white and one tone curve (ICC.1:2022, version 2 tags)."""

from __future__ import annotations

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

# x, y of red, green and blue, and of the white.
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)
PROPHOTO = ((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105), (0.345704, 0.358540))


def gamma(exponent: float) -> bytes:
    """A curve of one number: 1 for linear light."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + b"\0\0"


def srgb_curve() -> bytes:
    """sRGB's own, as a formula."""
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *(round(number * 65536) for number in numbers))


def rgb(primaries: tuple[tuple[float, float], ...], curve: bytes) -> bytes:
    """A profile of RGB with these primaries and, last, white."""
    matrix = adapted(primaries)
    tags = {name: _xyz(matrix[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return _profile(b"RGB ", {b"wtpt": _xyz(D50), **tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def adapted(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """(3, 3) linear light to XYZ, adapted to D50 by Bradford's way."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries])
    white = columns[3]
    matrix = columns[:3].T @ np.diag(np.linalg.solve(columns[:3].T, white))
    cone = np.diag((_BRADFORD @ D50) / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ cone @ _BRADFORD @ matrix


def gray(curve: bytes) -> bytes:
    """A profile of gray."""
    return _profile(b"GRAY", {b"wtpt": _xyz(D50), b"kTRC": curve})


def of_tables(points: int = 33) -> bytes:
    """A profile of RGB that says sRGB by tables of so many points an axis (lut16Type), as scanners' profiles do."""
    steps = np.linspace(0, 1, points)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    linear = np.where(grid <= 0.04045, grid / 12.92, ((grid + 0.055) / 1.055) ** 2.4)
    ratio = linear @ adapted(SRGB).T / D50
    root = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    to_lab = np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], -1)
    lab = grid * [100 * 65535 / 65280, 65535 / 256, 65535 / 256] - [0, 128, 128]
    light = (lab[:, :1] + 16) / 116 + lab[:, 1:] @ [[1 / 500, 0, 0], [0, 0, -1 / 200]]
    ratio = np.where(light > 6 / 29, light**3, (116 * light - 16) * 27 / 24389)
    back = (ratio * D50) @ np.linalg.inv(adapted(SRGB)).T
    encoded = np.where(back <= 0.0031308, back * 12.92, 1.055 * back.clip(0.003) ** (1 / 2.4) - 0.055)
    forward = _table(
        np.stack([to_lab[:, 0] * 652.8, (to_lab[:, 1] + 128) * 256, (to_lab[:, 2] + 128) * 256], -1), points
    )
    return _profile(b"RGB ", {b"wtpt": _xyz(D50), b"A2B0": forward, b"B2A0": _table(encoded * 65535, points)}, b"Lab ")


def _table(values: np.ndarray, points: int) -> bytes:
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramps = struct.pack(">6H", 0, 65535, 0, 65535, 0, 65535)
    cells = np.rint(values).clip(0, 65535).astype(">u2").tobytes()
    return b"mft2\0\0\0\0" + bytes([3, 3, points, 0]) + identity + struct.pack(">2H", 2, 2) + ramps + cells + ramps


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _profile(colors: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    description = b"made for a test\0"
    named = b"desc\0\0\0\0" + struct.pack(">I", len(description)) + description + bytes(79)
    tags = {b"desc": named, b"cprt": b"text\0\0\0\0none\0", **tags}
    place = 132 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, place + len(data), len(value))
        data += value
    size = place + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"mntr", colors, connection) + bytes(12) + b"acsp"
    return head.ljust(68, b"\0") + _xyz(D50)[8:] + bytes(48) + table + data
