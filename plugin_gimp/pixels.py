"""A drawable's own pixels as the backend takes them, and the way back: in stripes, as colours without loss."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gi.repository import Babl, Gegl, Gimp
from thin.protocol import DEPTHS, UNSUPPORTED, ThinError

_TILE = 64
"""Rows of the tiles in which GIMP keeps pixels; where it can be, none is touched twice."""
_STRIPE_BYTES = 4 * 2**20
"""What is read or written at once, about: GIMP's bindings copy each such piece two or three times, which takes longer
when they have to ask the system for memory first."""

_OPAQUE = struct.pack("f", 1.0)

OnStep = Callable[[float], object]
"""Told how much is done, 0..1. What it raises ends the work."""

_DEPTH_OF = {"u8": "u8", "u16": "u16", "half": "f16", "float": "f32", "u32": "f32", "double": "f32"}
_TYPE_OF = {"u8": "u8", "u16": "u16", "f16": "half", "f32": "float"}
_UNITS = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Whole numbers of so many bytes, by which numbers of any meaning can be moved."""
_NAMES = {
    # (gray, encoding): name of the pixel format in babl, without alpha
    (False, "linear"): "RGB",
    (False, "own curve"): "R'G'B'",
    (False, "perceptual"): "R~G~B~",
    (True, "linear"): "Y",
    (True, "own curve"): "Y'",
    (True, "perceptual"): "Y~",
}


@dataclass(frozen=True)
class Kind:
    """What an image's pixels are, in the backend's words and in babl's.

    depth, space, profile: as in the protocol's `layer`.   is_alpha_rounded: whether the depth holds less than the image's
    own numbers.   encoding: what the numbers mean, "linear", "own curve" (of
    the image's space) or "perceptual" (sRGB's curve).   model: babl's space, which keeps the image's primaries.
    """

    is_gray: bool
    depth: str
    is_alpha_rounded: bool
    space: str
    profile: bytes | None
    encoding: str
    model: Any

    def count_channels(self, alpha: bool) -> int:
        """Numbers of one pixel."""
        return (1 if self.is_gray else 3) + alpha

    def count_pixel_bytes(self, alpha: bool) -> int:
        return self.count_channels(alpha) * DEPTHS[self.depth]

    def get_format(self, alpha: bool) -> str:
        """The pixel format's full name in babl: straight alpha, in the image's own space."""
        name = f"{_NAMES[self.is_gray, self.encoding]}{'A' if alpha else ''} {_TYPE_OF[self.depth]}"
        return _get_format_in_space(name, self.model)

    @property
    def alpha_format(self) -> str:
        """The format of the alpha alone, in the same depth."""
        return f"A {_TYPE_OF[self.depth]}"

    def describe_picture(self, width: int, height: int, alpha: bool) -> dict[str, Any]:
        """The protocol's map of a picture of this kind."""
        fields = {"width": width, "height": height, "channels": self.count_channels(alpha), "depth": self.depth}
        return {**fields, "space": self.space, "profile": self.profile}


def get_kind(image: Gimp.Image) -> Kind:
    """How an image's pixels travel: at its own precision, in its own space.

    32-bit integers and doubles, which the backend does not know, travel as floats.
    Raises ThinError (`unsupported`) for an indexed image.
    """
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise ThinError(
            UNSUPPORTED,
            "An indexed image has no room for new colours.",
            "Turn it into an RGB image first: Image → Mode → RGB.",
        )
    gray = image.get_base_type() == Gimp.ImageBaseType.GRAY
    bits, _, curve = image.get_precision().value_nick.partition("-")
    fixed = (gray, _DEPTH_OF[bits], bits in ("u32", "double"))
    profile, model = _find_profile(image), _get_space(image)
    if profile is None:
        linear = curve == "linear"
        # Where the space is sRGB, its own curve is the perceptual one: the same numbers under two names.
        encoding = {"linear": "linear", "perceptual": "perceptual"}.get(curve, "own curve")
        return Kind(*fixed, "linear" if linear else "srgb", None, encoding, model)
    if curve == "non-linear":
        return Kind(*fixed, "srgb", profile.get_icc_profile(), "own curve", model)
    # A profile says what encoded numbers mean, so linear light is encoded on the way, as floats: integers and halves
    # would lose some of their steps. By sRGB's curve: babl's other curves do not come back from where they went.
    travel = ("f32" if curve == "linear" else fixed[1], fixed[2], "srgb")
    alike = Gimp.ColorProfile.new_srgb_trc_from_color_profile(profile)
    if alike is None:
        return Kind(gray, *travel, profile.get_icc_profile(), "own curve", model)
    return Kind(gray, *travel, alike.get_icc_profile(), "perceptual", model)


def read_pixels(
    drawable: Gimp.Drawable, pixel_format: str, pixel_bytes: int, on_step: OnStep | None = None
) -> bytearray:
    """A drawable's pixels: rows top-down, nothing between them."""
    width, height = drawable.get_width(), drawable.get_height()
    buffer, line = drawable.get_buffer(), width * pixel_bytes
    pixels = bytearray(line * height)
    for top, rows in _split_stripes(height, line):
        stripe = buffer.get(Gegl.Rectangle.new(0, top, width, rows), 1.0, pixel_format, Gegl.AbyssPolicy.NONE)
        pixels[top * line : (top + rows) * line] = stripe
        if on_step is not None:
            on_step((top + rows) / height)
    return pixels


def write_pixels(
    buffer: Gegl.Buffer,
    width: int,
    height: int,
    pixel_format: str,
    pixels: bytearray,
    on_step: OnStep | None = None,
) -> None:
    """Fills a buffer of this size with pixels, and hands them to GIMP."""
    line = len(pixels) // height
    view = memoryview(pixels)
    for top, rows in _split_stripes(height, line):
        stripe = bytes(view[top * line : (top + rows) * line])
        buffer.set(Gegl.Rectangle.new(0, top, width, rows), pixel_format, stripe)
        if on_step is not None:
            on_step((top + rows) / height)
    buffer.flush()


def copy_alpha(source: Gimp.Drawable, buffer: Gegl.Buffer) -> None:
    """Gives a buffer the alpha of a drawable of its size and format, bit for bit: 32-bit integers and doubles hold more
    than the floats they travel as."""
    own = source.get_format()
    name, kind = str(Babl.get_name(own)), Babl.get_name(Babl.format_get_type(own, 0))
    channels, size = Babl.format_get_n_components(own), Babl.format_get_bytes_per_pixel(own)
    width, height = source.get_width(), source.get_height()
    for top, rows in _split_stripes(height, width * size):
        rect = Gegl.Rectangle.new(0, top, width, rows)
        pixels = bytearray(buffer.get(rect, 1.0, name, Gegl.AbyssPolicy.NONE))
        alpha = source.get_buffer().get(rect, 1.0, f"A {kind}", Gegl.AbyssPolicy.NONE)
        _view_last_channel(pixels, size // channels, channels)[:] = memoryview(alpha).cast(_UNITS[size // channels])
        buffer.set(rect, name, bytes(pixels))
    buffer.flush()


def copy_pixels(source: Gimp.Drawable, target: Gimp.Drawable, left: int = 0, top: int = 0) -> None:
    """Puts the pixels of a drawable into another of its format.

    left, top: where they come to lie there.
    """
    name, size = str(Babl.get_name(target.get_format())), Babl.format_get_bytes_per_pixel(target.get_format())
    width, height = source.get_width(), source.get_height()
    buffer = target.get_buffer()
    for row, rows in _split_stripes(height, width * size):
        stripe = source.get_buffer().get(Gegl.Rectangle.new(0, row, width, rows), 1.0, name, Gegl.AbyssPolicy.NONE)
        buffer.set(Gegl.Rectangle.new(left, top + row, width, rows), name, stripe)
    buffer.flush()
    target.update(0, 0, target.get_width(), target.get_height())


def compute_checksum(drawable: Gimp.Drawable) -> int:
    """A number to tell by whether a drawable's pixels are still the same."""
    own = drawable.get_format()
    return zlib.crc32(read_pixels(drawable, str(Babl.get_name(own)), Babl.format_get_bytes_per_pixel(own)))


def is_opaque(drawable: Gimp.Drawable) -> bool:
    """Whether nothing shows through any of its pixels."""
    width, height = drawable.get_width(), drawable.get_height()
    for top, rows in _split_stripes(height, width * DEPTHS["f32"]):
        rect = Gegl.Rectangle.new(0, top, width, rows)
        alpha = drawable.get_buffer().get(rect, 1.0, "A float", Gegl.AbyssPolicy.NONE)
        if alpha != _OPAQUE * (width * rows):
            return False
    return True


def put_alpha(pixels: bytearray, alpha: bytearray, kind: Kind) -> None:
    """Replaces the alpha of pixels of this kind that have one.

    alpha: one number a pixel, in the kind's depth.
    """
    size = DEPTHS[kind.depth]
    _view_last_channel(pixels, size, kind.count_channels(True))[:] = memoryview(alpha).cast(_UNITS[size])


def take_alpha(pixels: bytearray, kind: Kind) -> bytearray:
    """The alpha of such pixels, one number a pixel."""
    return bytearray(_view_last_channel(pixels, DEPTHS[kind.depth], kind.count_channels(True)).tobytes())


def read_scaled(
    drawable: Gimp.Drawable,
    pixel_format: str,
    box: tuple[int, int, int, int],
    scale: float,
    beyond: Gegl.AbyssPolicy = Gegl.AbyssPolicy.CLAMP,
) -> bytes:
    """A part of a drawable at a reduced size.

    box: (left, top, width, height) in the reduced picture's pixels.   scale: of the reduction, at most 1.
    beyond: what lies outside; as it is, the edge goes on, for where rounding up a side looks over it.
    """
    return bytes(drawable.get_buffer().get(Gegl.Rectangle.new(*box), scale, pixel_format, beyond))


def _view_last_channel(pixels: bytearray, size: int, channels: int) -> memoryview:
    """One number of `size` bytes for each pixel: alpha, where there is one. Writing to it changes the pixels."""
    return memoryview(pixels).cast(_UNITS[size])[channels - 1 :: channels]


def _find_profile(image: Gimp.Image) -> Gimp.ColorProfile | None:
    """The image's profile if it has one that is not sRGB by another name."""
    profile = image.get_color_profile()
    if profile is None:
        return None
    try:
        space = profile.get_space(Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC)
    except Exception:  # GLib.Error for one made of tables, and then babl takes the numbers as they are
        return profile
    return None if space is not None and Babl.get_name(space) == "sRGB" else profile


def _get_space(image: Gimp.Image) -> Any:
    """Babl's space of the image's pixels, as its layers have it."""
    return Babl.format_get_space(image.get_layers()[0].get_format())


def _get_format_in_space(name: str, space: Any) -> str:
    return str(Babl.get_name(Babl.format_with_space(name, space)))


def _split_stripes(height: int, line_bytes: int) -> list[tuple[int, int]]:
    """(top, rows) of the stripes that `height` rows are worked on in."""
    rows = max(1, _STRIPE_BYTES // (_TILE * max(1, line_bytes))) * _TILE
    return [(top, min(rows, height - top)) for top in range(0, height, rows)]
