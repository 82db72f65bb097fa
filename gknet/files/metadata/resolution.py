"""The resolution that a file states, and its conversion to and from tags of TIFF and EXIF.

In metadata it has the keys "xres" and "yres", pixels per millimeter, and "resolution-unit", the file's own unit: "in",
"cm" or "m". A file that states only the shape of its pixels has "aspect" instead, two numbers in proportion to those.
A file that states neither has none of these keys.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from gknet.files.metadata.directory import Directory, Value, build_rational

ACROSS, DOWN, UNIT = 282, 283, 296
_MM = {"in": 25.4, "cm": 10.0, "m": 1000.0}
_TAG_UNITS = {1: "", 2: "in", 3: "cm"}
_SHORT = 3
_SAME = 1e-6  # relative
_SMALLEST = 1e-6


def build_resolution(across: float, down: float, unit: str) -> dict[str, Any]:
    """Return numbers of pixels as metadata.   unit: of length, "" if the numbers are only in proportion."""
    if not all(math.isfinite(number) and number > 0 for number in (across, down)):
        return {}
    if unit:
        return {"xres": across / _MM[unit], "yres": down / _MM[unit], "resolution-unit": unit}
    return {} if across == down else {"aspect": (across, down)}


def parse_pillow_tags(tags: Mapping[int, Any]) -> dict[str, Any]:
    """Return the resolution in tags of TIFF or EXIF, as Pillow returns them, as metadata."""
    try:
        across, down, unit = float(tags[ACROSS]), float(tags[DOWN]), _TAG_UNITS[int(tags.get(UNIT, 2))]
    except (KeyError, TypeError, ValueError, ArithmeticError, SyntaxError):  # missing or damaged
        return {}
    return build_resolution(across, down, unit)


def drop_redundant_aspect(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata from several places of a file, without "aspect" if another place states the resolution."""
    return {name: value for name, value in metadata.items() if name != "aspect" or "xres" not in metadata}


def turn_resolution(metadata: Mapping[str, Any], orientation: int) -> dict[str, Any]:
    """Return metadata with "across" and "down" exchanged if an orientation, 1 to 8, exchanges rows and columns."""
    turned = dict(metadata)
    if orientation > 4 and "xres" in metadata:
        turned |= {"xres": metadata["yres"], "yres": metadata["xres"]}
    if orientation > 4 and "aspect" in metadata:
        turned["aspect"] = metadata["aspect"][::-1]
    return turned


def convert_resolution(metadata: Mapping[str, Any], unit: str) -> tuple[float, float] | None:
    """Return the numbers of pixels across and down in a unit of length; None if metadata do not state them."""
    if "xres" not in metadata:
        return None
    return metadata["xres"] * _MM[unit], metadata["yres"] * _MM[unit]


def find_aspect(metadata: Mapping[str, Any], most: int) -> tuple[int, int] | None:
    """Return the shape of pixels as two whole numbers of at most `most`; None if metadata do not state it alone."""
    if "xres" in metadata or "aspect" not in metadata:
        return None
    across, down = metadata["aspect"]
    ratio = Fraction(across / down).limit_denominator(1000)
    return min(max(ratio.numerator, 1), most), ratio.denominator


def build_tags(metadata: Mapping[str, Any]) -> dict[int, Value]:
    """Return the resolution or the shape of pixels as tags of TIFF; none if metadata do not state them."""
    unit = "cm" if metadata.get("resolution-unit") == "cm" else "in"
    numbers, code = convert_resolution(metadata, unit), 3 if unit == "cm" else 2
    if numbers is None:
        numbers, code = metadata.get("aspect"), 1
    if numbers is None:
        return {}
    across, down = numbers
    if metadata.get("resolution-unit") == "m":
        across, down = _round_slightly(across), _round_slightly(down)
    return {
        ACROSS: build_rational(max(across, _SMALLEST)),
        DOWN: build_rational(max(down, _SMALLEST)),
        UNIT: Value(_SHORT, struct.pack("<H", code)),
    }


def _round_slightly(per_inch: float) -> float:
    """Return a whole number if it is the same to the pixel per meter: PNG states 300 per inch as 11811 per meter."""
    return round(per_inch) if abs(per_inch - round(per_inch)) <= 0.0127 < per_inch else per_inch


def parse_directory_tags(directory: Directory) -> dict[str, Any]:
    """Return the resolution in a directory as metadata."""
    tags: dict[int, Any] = {}
    for tag, form in ((ACROSS, "<2I"), (DOWN, "<2I"), (UNIT, "<H")):
        value = directory.get(tag)
        if isinstance(value, Value) and len(value.content) == struct.calcsize(form):
            numbers = struct.unpack(form, value.content)
            tags[tag] = numbers[0] if len(numbers) == 1 else numbers[0] / numbers[1] if numbers[1] else 0
    return parse_pillow_tags(tags)


def is_same_resolution(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether metadata state the same number of pixels per millimeter."""
    return all(math.isclose(one.get(name, 0), other.get(name, 0), rel_tol=_SAME) for name in ("xres", "yres"))
