"""Reading and writing a drawable's pixels in stripes, in the backend's formats and without loss."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gi.repository import Babl, Gegl, Gimp
from thin.protocol import DEPTHS, UNSUPPORTED, ThinError

_TILE = 64
"""Rows of GIMP's tiles. Stripes are multiples of it, so that no tile is accessed twice."""
_STRIPE_BYTES = 4 * 2**20
"""Approximate size of a stripe. GIMP's bindings copy each one two or three times, which is slower for large ones, whose
memory must first be allocated by the system."""

_OPAQUE = struct.pack("f", 1.0)

OnStep = Callable[[float], object]
"""Called with the progress 0..1. An exception from it stops the work."""

_DEPTH_OF = {"u8": "u8", "u16": "u16", "half": "f16", "float": "f32", "u32": "f32", "double": "f32"}
_TYPE_OF = {"u8": "u8", "u16": "u16", "f16": "half", "f32": "float"}
_UNITS = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Integer formats by size in bytes, to move numbers of any type."""
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
    """An image's pixel format in the backend's terms and in babl's.

    depth, space, profile: as in the protocol's `layer`.
    is_alpha_rounded: whether the depth is less precise than the image's own.
    encoding: "linear", "own curve" (of the image's space) or "perceptual" (sRGB's curve).
    model: babl's space with the image's primaries.
    """

    is_gray: bool
    depth: str
    is_alpha_rounded: bool
    space: str
    profile: bytes | None
    encoding: str
    model: Any

    def count_channels(self, alpha: bool) -> int:
        """Return the number of channels of one pixel."""
        return (1 if self.is_gray else 3) + alpha

    def count_pixel_bytes(self, alpha: bool) -> int:
        """Return the number of bytes of one pixel."""
        return self.count_channels(alpha) * DEPTHS[self.depth]

    def get_format(self, alpha: bool) -> str:
        """Return babl's name of the pixel format: straight alpha, in the image's own space."""
        name = f"{_NAMES[self.is_gray, self.encoding]}{'A' if alpha else ''} {_TYPE_OF[self.depth]}"
        return _get_format_in_space(name, self.model)

    @property
    def alpha_format(self) -> str:
        """Name of the format of the alpha alone, in the same depth."""
        return f"A {_TYPE_OF[self.depth]}"

    def describe_picture(self, width: int, height: int, alpha: bool) -> dict[str, Any]:
        """Return the protocol's map for an image of this kind."""
        fields = {"width": width, "height": height, "channels": self.count_channels(alpha), "depth": self.depth}
        return {**fields, "space": self.space, "profile": self.profile}


def get_kind(image: Gimp.Image) -> Kind:
    """Return the format in which an image's pixels are sent: its own precision and colour space.

    32-bit integers and doubles, which the backend does not support, are sent as floats.
    Raise ThinError (`unsupported`) for an indexed image.
    """
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise ThinError(
            UNSUPPORTED,
            "Indexed images cannot be harmonized.",
            "Convert the image to RGB first: Image → Mode → RGB.",
        )
    gray = image.get_base_type() == Gimp.ImageBaseType.GRAY
    bits, _, curve = image.get_precision().value_nick.partition("-")
    fixed = (gray, _DEPTH_OF[bits], bits in ("u32", "double"))
    profile, model = _find_profile(image), _get_space(image)
    if profile is None:
        linear = curve == "linear"
        # In sRGB, the space's own curve and the perceptual one are the same.
        encoding = {"linear": "linear", "perceptual": "perceptual"}.get(curve, "own curve")
        return Kind(*fixed, "linear" if linear else "srgb", None, encoding, model)
    if curve == "non-linear":
        return Kind(*fixed, "srgb", profile.get_icc_profile(), "own curve", model)
    # A profile describes encoded numbers, so linear light is sent encoded, as floats: integers and halves would lose
    # precision. Use sRGB's curve, because babl's other curves don't round-trip.
    travel = ("f32" if curve == "linear" else fixed[1], fixed[2], "srgb")
    alike = Gimp.ColorProfile.new_srgb_trc_from_color_profile(profile)
    if alike is None:
        return Kind(gray, *travel, profile.get_icc_profile(), "own curve", model)
    return Kind(gray, *travel, alike.get_icc_profile(), "perceptual", model)


def read_pixels(
    drawable: Gimp.Drawable, pixel_format: str, pixel_bytes: int, on_step: OnStep | None = None
) -> bytearray:
    """Return a drawable's pixels: rows from top to bottom, without padding."""
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
    """Write pixels to a buffer of this size, and flush it to GIMP."""
    line = len(pixels) // height
    view = memoryview(pixels)
    for top, rows in _split_stripes(height, line):
        stripe = bytes(view[top * line : (top + rows) * line])
        buffer.set(Gegl.Rectangle.new(0, top, width, rows), pixel_format, stripe)
        if on_step is not None:
            on_step((top + rows) / height)
    buffer.flush()


def copy_alpha(source: Gimp.Drawable, buffer: Gegl.Buffer) -> None:
    """Copy the alpha of a drawable to a buffer of its size and format, bit for bit.

    32-bit integers and doubles are more precise than the floats they are sent as.
    """
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
    """Copy the pixels of a drawable to another of its format.

    left, top: position in the target.
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
    """Return a checksum of a drawable's pixels, to detect changes."""
    own = drawable.get_format()
    return zlib.crc32(read_pixels(drawable, str(Babl.get_name(own)), Babl.format_get_bytes_per_pixel(own)))


def is_opaque(drawable: Gimp.Drawable) -> bool:
    """Return whether all pixels are fully opaque."""
    width, height = drawable.get_width(), drawable.get_height()
    for top, rows in _split_stripes(height, width * DEPTHS["f32"]):
        rect = Gegl.Rectangle.new(0, top, width, rows)
        alpha = drawable.get_buffer().get(rect, 1.0, "A float", Gegl.AbyssPolicy.NONE)
        if alpha != _OPAQUE * (width * rows):
            return False
    return True


def put_alpha(pixels: bytearray, alpha: bytearray, kind: Kind) -> None:
    """Replace the alpha of pixels of this kind.

    alpha: one number per pixel, in the kind's depth.
    """
    size = DEPTHS[kind.depth]
    _view_last_channel(pixels, size, kind.count_channels(True))[:] = memoryview(alpha).cast(_UNITS[size])


def take_alpha(pixels: bytearray, kind: Kind) -> bytearray:
    """Return the alpha of pixels of this kind, one number per pixel."""
    return bytearray(_view_last_channel(pixels, DEPTHS[kind.depth], kind.count_channels(True)).tobytes())


def read_scaled(
    drawable: Gimp.Drawable,
    pixel_format: str,
    box: tuple[int, int, int, int],
    scale: float,
    beyond: Gegl.AbyssPolicy = Gegl.AbyssPolicy.CLAMP,
) -> bytes:
    """Return the pixels of a part of a drawable at a smaller scale.

    box: (left, top, width, height) in the scaled image's pixels.   scale: at most 1.
    beyond: policy for pixels outside. The default repeats the edge, which rounding up may exceed.
    """
    return bytes(drawable.get_buffer().get(Gegl.Rectangle.new(*box), scale, pixel_format, beyond))


def _view_last_channel(pixels: bytearray, size: int, channels: int) -> memoryview:
    """Return a writable view of each pixel's last number of `size` bytes, which is the alpha if there is one."""
    return memoryview(pixels).cast(_UNITS[size])[channels - 1 :: channels]


def _find_profile(image: Gimp.Image) -> Gimp.ColorProfile | None:
    """Return the image's profile, None if it has none or one equivalent to sRGB."""
    profile = image.get_color_profile()
    if profile is None:
        return None
    try:
        space = profile.get_space(Gimp.ColorRenderingIntent.RELATIVE_COLORIMETRIC)
    except Exception:  # GLib.Error for a profile with tables, whose numbers babl leaves as they are
        return profile
    return None if space is not None and Babl.get_name(space) == "sRGB" else profile


def _get_space(image: Gimp.Image) -> Any:
    """Return babl's space of the image's pixels, that of its layers."""
    return Babl.format_get_space(image.get_layers()[0].get_format())


def _get_format_in_space(name: str, space: Any) -> str:
    return str(Babl.get_name(Babl.format_with_space(name, space)))


def _split_stripes(height: int, line_bytes: int) -> list[tuple[int, int]]:
    """Return (top, rows) of the stripes of an image with `height` rows."""
    rows = max(1, _STRIPE_BYTES // (_TILE * max(1, line_bytes))) * _TILE
    return [(top, min(rows, height - top)) for top in range(0, height, rows)]
