"""The colour format in which a layer is sent: its own if the backend supports it, otherwise linear sRGB as floats.

A profile is identified by converting some colours with Krita, whatever its name is. A layer whose profile is neither
sRGB nor linear light with sRGB's primaries is converted to linear f32 and back. Floats keep colours outside sRGB, so
that unchanged colours round-trip (u8: exactly; tested with Krita 5.2's own profiles).
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
"""Profiles that every Krita includes."""
CHANNELS = {"RGBA": 4, "GRAYA": 2}

_ALIKE = 131
"""Difference, of 65535, up to which the colours of two profiles count as equal: half a step of u8."""
_NAMES = {"RGBA": "RGB", "GRAYA": "grayscale", "CMYKA": "CMYK", "LABA": "L*a*b*", "XYZA": "XYZ", "YCbCrA": "YCbCr"}

_meanings: dict[tuple[str, str], str | None] = {}


@dataclass(frozen=True)
class Colors:
    """A layer's colour space in Krita's terms, and the format in which it is sent.

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
        """Number of channels of one pixel."""
        return CHANNELS[self.model]

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel as sent."""
        return self.channels * DEPTHS[self.sent_depth]

    @property
    def own_pixel_bytes(self) -> int:
        """Bytes of one pixel as stored in Krita."""
        return self.channels * DEPTHS[self.depth.lower()]

    @property
    def is_blue_first(self) -> bool:
        """Whether Krita stores blue first, as it does for integers."""
        return self.model == "RGBA" and self.depth in ("U8", "U16")

    def convert_from_krita(self, copy: Any, data: bytes, width: int, rows: int) -> bytes:
        """Convert Krita's pixels of a layer to those to send.   copy: hidden copy of the layer's document."""
        return _convert_pixels(copy, data, width, rows, self.own_space, self._sent_space)

    def convert_to_krita(self, copy: Any, data: bytes | bytearray, width: int, rows: int) -> bytes:
        """Convert received pixels to Krita's.   copy: hidden copy of the layer's document."""
        return _convert_pixels(copy, data, width, rows, self._sent_space, self.own_space)

    @property
    def own_space(self) -> tuple[str, str, str]:
        """The layer's colour space in Krita's terms."""
        return self.model, self.depth, self.profile

    @property
    def _sent_space(self) -> tuple[str, str, str]:
        return self.model, "F32", LINEAR[self.model]


def get_colors(document: Any, node: Any) -> Colors:
    """Return the colour format to send a layer in. Raise ThinError (`unsupported`) unless it is RGB or grayscale."""
    model, depth, profile = node.colorModel(), node.colorDepth(), node.colorProfile()
    if model not in CHANNELS or depth.lower() not in DEPTHS:
        raise ThinError(
            UNSUPPORTED,
            f"The layer's colour model is {_NAMES.get(model, model)}. Only RGB and grayscale can be harmonized.",
            "Convert the image to RGB with Image → Convert Image Color Space…, or only the layer with "
            "Layer → Convert → Convert Layer Color Space….",
        )
    if (model, profile) not in _meanings:
        _meanings[model, profile] = _identify_profile(document, model, profile)
    space = _meanings[model, profile]
    if space is None:
        return Colors(model, depth, profile, "f32", "linear", True)
    return Colors(model, depth, profile, depth.lower(), space, False)


def _identify_profile(document: Any, model: str, profile: str) -> str | None:
    """Return `srgb` or `linear` if a profile is equivalent to that, else None."""
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
    """Return pixels in another colour space, converted by a layer outside any document.   copy: a hidden copy."""
    carrier = copy.createNode("", "paintlayer")
    if not carrier.setColorSpace(*source):
        raise _make_conversion_error(source)
    if carrier.setPixelData(data, 0, 0, width, rows) is False:  # Krita 5.2 always returns None
        raise _make_conversion_error(source)
    if not carrier.setColorSpace(*target):
        raise _make_conversion_error(target)
    return bytes(carrier.pixelData(0, 0, width, rows))


def _make_conversion_error(space: tuple[str, str, str]) -> ThinError:
    return ThinError(
        BAD_REQUEST,
        f"Krita can't convert the layer's colours ({' '.join(space)}).",
        "Convert the layer to the image's profile with Layer → Convert → Convert Layer Color Space….",
    )
