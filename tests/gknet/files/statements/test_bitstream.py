"""Headers of video streams with every optional part, bit by bit; test_stated_colors has what libraries write."""

from __future__ import annotations

import pytest

from gknet.files.statements.bitstream import UNSPECIFIED, Header, read_av1, read_hevc

POINTS = (12, 13, 6)


def u(count: int, value: int = 0) -> str:
    return f"{value:0{count}b}" if count else ""


def ue(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def to_bytes(bits: str) -> bytes:
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def described(points: tuple[int, int, int] | None) -> str:
    return "0" if points is None else "1" + "".join(u(8, point) for point in points)


def av1_film(points: tuple[int, int, int] | None) -> bytes:
    """A temporal delimiter, and the header of a film of 12 bits with times and two operating points."""
    times = "1" + u(64, 5) + "1" + ue(3) + "1" + u(5, 9) + u(32, 7) + u(10)
    delays = "1" + u(5, 1)
    tall = u(12, 1) + u(5, 9) + "1" + "1" + u(21, 77) + "1" + u(4, 3)
    low = u(12, 2) + u(5, 4) + "0" + "0"
    size = u(4, 9) + u(4, 8) + u(10, 639) + u(9, 359)
    tools = "1" + u(7, 33) + u(3, 7) + u(4, 5) + "1" + "11" + "0" + "1" + "0" + "1" + u(3, 6) + u(3, 1)
    header = to_bytes(u(3, 2) + "00" + times + delays + tall + low + size + tools + "11" + "0" + described(points))
    return b"\x12\0" + bytes([0x0E, 0x40, len(header) | 0x80, 0]) + header  # with an extension, and a long size


def hevc_set(points: tuple[int, int, int] | None) -> bytes:
    """An hvcC with a parameter set of another kind before one of two layers with all that is optional."""
    profile = u(88, 1 << 60) + u(8, 93)
    layers = "11" + "01" + u(12) + u(88) + u(8) + u(8)
    size = ue(0) + ue(3) + "1" + ue(639) + ue(359) + "1" + ue(1) * 4 + ue(2) + ue(2) + ue(4) + "1" + ue(1) * 9
    blocks = ue(0) + ue(3) + ue(0) + ue(3) + ue(1) + ue(2)
    lists = "".join(
        ("0" + ue(1) if i % 2 else "1" + ue(3) * (min(64, 1 << 4 + 2 * size_id) + (size_id > 1)))
        for size_id in range(4)
        for i in range(0, 6, 3 if size_id == 3 else 1)
    )
    flat = "11" + "1" + u(8) + ue(1) + ue(2) + "1"
    sets = ue(2) + ue(1) + ue(1) + (ue(3) + "1") * 2 + "1" + "0" + ue(4) + "1" + "01" + "00"
    long_term = "1" + ue(2) + (u(8, 200) + "1") * 2
    shape = "1" + u(8, 255) + u(32, 65_537)
    usability = "1" + shape + "11" + "1" + u(4, 11) + described(points)
    bits = u(4) + u(3, 2) + "1" + profile + layers + size + blocks + "11" + lists + flat + sets + long_term + "11"
    unit = b"\x42\1" + to_bytes(bits + usability)
    escaped = unit.replace(b"\0\0", b"\0\0\3")
    other = b"\x40\1nothing"
    arrays = (
        b"\x20\0\1" + len(other).to_bytes(2, "big") + other + b"\x21\0\1" + len(escaped).to_bytes(2, "big") + escaped
    )
    return bytes(22) + b"\2" + arrays


@pytest.mark.parametrize("points", [POINTS, (9, 16, 9), None])
def test_every_optional_part_is_skipped(points: tuple[int, int, int] | None) -> None:
    assert read_av1(av1_film(points)) == Header(points or UNSPECIFIED)
    assert read_hevc(hevc_set(points)) == Header(points or UNSPECIFIED)


def test_what_is_cut_short_says_nothing() -> None:
    for read, whole in ((read_av1, av1_film(POINTS)), (read_hevc, hevc_set(POINTS))):
        assert {read(whole[:end]) for end in range(len(whole) - 6)} == {Header()}
