"""In which numbers a layer's colours travel: its own wherever the backend knows them, else linear sRGB as floats.

What a profile means is found out by converting some colours with Krita, whatever it is called. A layer whose profile is
neither sRGB nor linear light with sRGB's primaries is converted to linear f32 and back: floats keep what lies outside
sRGB, so that colours that aren't changed come back as they were (u8: to the byte; Krita 5.2's own profiles).
"""

from __future__ import annotations

import array
import itertools
from dataclasses import dataclass
from typing import Any

from .hidden_copy import open_hidden_copy
from .thin.protocol import BAD_REQUEST, DEPTHS, UNSUPPORTED, ThinError

ENCODED = {"RGBA": "sRGB-elle-V2-srgbtrc.icc", "GRAYA": "Gray-D50-elle-V2-srgbtrc.icc"}
LINEAR = {"RGBA": "sRGB-elle-V2-g10.icc", "GRAYA": "Gray-D50-elle-V2-g10.icc"}
"""Profiles that every Krita brings along."""
CHANNELS = {"RGBA": 4, "GRAYA": 2}

_ALIKE = 131
"""Of 65535, by which the colours of two profiles that mean the same may differ: half a step of u8."""
_NAMES = {"RGBA": "RGB", "GRAYA": "grayscale", "CMYKA": "CMYK", "LABA": "L*a*b*", "XYZA": "XYZ", "YCbCrA": "YCbCr"}

_meanings: dict[tuple[str, str], str | None] = {}


@dataclass(frozen=True)
class Colors:
    """A layer's colour space in Krita's words, and what is sent of it.

    model, depth, profile: Krita's.   sent_depth: `u8`, `u16`, `f16`, `f32`.   space: `srgb` or `linear`.
    is_converted: whether Krita converts the pixels on the way.
    """

    model: str
    depth: str
    profile: str
    sent_depth: str
    space: str
    is_converted: bool

    @property
    def channels(self) -> int:
        return CHANNELS[self.model]

    @property
    def pixel_bytes(self) -> int:
        """Of one pixel as it is sent."""
        return self.channels * DEPTHS[self.sent_depth]

    @property
    def own_pixel_bytes(self) -> int:
        """Of one pixel as Krita keeps it."""
        return self.channels * DEPTHS[self.depth.lower()]

    @property
    def is_blue_first(self) -> bool:
        """Whether Krita keeps blue first: so it does with whole numbers."""
        return self.model == "RGBA" and self.depth in ("U8", "U16")

    def convert_from_krita(self, copy: Any, data: bytes, width: int, rows: int) -> bytes:
        """Krita's pixels of a layer as those that are sent.   copy: of the layer's document, hidden."""
        return _convert_pixels(copy, data, width, rows, self.own_space, self._sent_space)

    def convert_to_krita(self, copy: Any, data: bytes | bytearray, width: int, rows: int) -> bytes:
        """The way back."""
        return _convert_pixels(copy, data, width, rows, self._sent_space, self.own_space)

    @property
    def own_space(self) -> tuple[str, str, str]:
        """The layer's colour space in Krita's words."""
        return self.model, self.depth, self.profile

    @property
    def _sent_space(self) -> tuple[str, str, str]:
        return self.model, "F32", LINEAR[self.model]


def get_colors(document: Any, node: Any) -> Colors:
    """How a layer's colours travel.  Raises ThinError (`unsupported`) for colours that are neither RGB nor gray."""
    model, depth, profile = node.colorModel(), node.colorDepth(), node.colorProfile()
    if model not in CHANNELS or depth.lower() not in DEPTHS:
        raise ThinError(
            UNSUPPORTED,
            f"The layer's colours are {_NAMES.get(model, model)}, and only RGB and grayscale can be harmonized.",
            "Convert the picture with Image → Convert Image Color Space…, or the layer alone with "
            "Layer → Convert → Convert Layer Color Space…, to RGB.",
        )
    if (model, profile) not in _meanings:
        _meanings[model, profile] = _identify_profile(document, model, profile)
    space = _meanings[model, profile]
    if space is None:
        return Colors(model, depth, profile, "f32", "linear", True)
    return Colors(model, depth, profile, depth.lower(), space, False)


def _identify_profile(document: Any, model: str, profile: str) -> str | None:
    """`srgb` or `linear` if a profile means that, else None."""
    levels = array.array("H", [0, 9000, 30000, 65535])
    colors = itertools.product(levels, repeat=CHANNELS[model] - 1)
    probe = array.array("H", itertools.chain.from_iterable((*color, 65535) for color in colors))
    width = len(probe) // CHANNELS[model]
    for space, known in (("srgb", ENCODED[model]), ("linear", LINEAR[model])):
        if profile == known:
            return space
        seen = array.array("H")
        own, target = (model, "U16", profile), (model, "U16", known)
        with open_hidden_copy(document) as copy:
            seen.frombytes(_convert_pixels(copy, probe.tobytes(), width, 1, own, target))
        if max(abs(a - b) for a, b in zip(probe, seen)) <= _ALIKE:  # noqa: B905  `strict` is Python 3.10's
            return space
    return None


def _convert_pixels(
    copy: Any,
    data: bytes | bytearray,
    width: int,
    rows: int,
    source: tuple[str, str, str],
    target: tuple[str, str, str],
) -> bytes:
    """Pixels in another colour space, by way of a layer that is in no picture; copy: a hidden one."""
    carrier = copy.createNode("", "paintlayer")
    if not carrier.setColorSpace(*source):
        raise _make_conversion_error(source)
    if carrier.setPixelData(data, 0, 0, width, rows) is False:  # Krita 5.2 doesn't tell, and returns None
        raise _make_conversion_error(source)
    if not carrier.setColorSpace(*target):
        raise _make_conversion_error(target)
    return bytes(carrier.pixelData(0, 0, width, rows))


def _make_conversion_error(space: tuple[str, str, str]) -> ThinError:
    return ThinError(
        BAD_REQUEST,
        f"Krita can't convert the layer's colours ({' '.join(space)}).",
        "Give the layer the picture's own profile with Layer → Convert → Convert Layer Color Space….",
    )
