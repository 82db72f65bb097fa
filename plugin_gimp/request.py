"""What the backend is asked for one layer: which layers can be worked on, their pixels, place and selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import backdrop
from gi.repository import Gegl, Gimp
from pixels import Kind, OnStep, kind_of, put_alpha, read, take_alpha
from thin.choices import HIDE_ORIGINAL, OPAQUE, OPAQUE_HINT, REPLACE
from thin.protocol import BAD_REQUEST, INTERNAL, NO_FOREGROUND, UNSUPPORTED, BackendError

_HARD = bytes([0] + [255] * 255)
"""Translates a selection to one without soft edges."""


@dataclass(frozen=True)
class Settings:
    """What the user chose: strength 0..1; compare and output as in thin.choices; chosen: the layer to compare with."""

    strength: float
    compare: str
    chosen: Gimp.Layer | None
    clean_edges: bool
    output: str

    @property
    def options(self) -> dict[str, Any]:
        """The protocol's `options`."""
        return {"strength": self.strength, **({"clean_edges": True} if self.clean_edges else {})}


def settings_of(config: Gimp.ProcedureConfig) -> Settings:
    """What the procedure's arguments say."""
    names = ("strength", "compare", "reference", "clean-edges", "output")
    return Settings(*(config.get_property(name) for name in names))


@dataclass
class Source:
    """A layer's pixels on their way to the backend.

    pixels: with alpha, if `alpha`.   own_alpha: the layer's, where what was sent has its mask in it too.
    """

    kind: Kind
    alpha: bool
    width: int
    height: int
    pixels: bytearray
    own_alpha: bytearray | None

    def restore_alpha(self, answer: bytearray) -> None:
        """Gives the answer's pixels the layer's own alpha back; the mask stays a mask."""
        if self.own_alpha is not None:
            put_alpha(answer, self.own_alpha, self.kind)


def checked_layer(image: Gimp.Image, drawables: Sequence[Gimp.Drawable], output: str) -> Gimp.Layer:
    """The one layer that is to be harmonized.

    Raises BackendError that says why there is none, or why it cannot be.
    """
    if len(drawables) != 1:
        raise BackendError(BAD_REQUEST, "More than one layer is chosen, or none.", "Choose one layer and try again.")
    layer = drawables[0]
    if isinstance(layer, Gimp.LayerMask):  # who just painted the mask means its layer
        layer = Gimp.Layer.from_mask(layer)
    if not isinstance(layer, Gimp.Layer):
        raise BackendError(UNSUPPORTED, "Only layers can be harmonized.", "Choose a layer and try again.")
    if layer.is_group():
        raise BackendError(
            UNSUPPORTED,
            "A layer group has no pixels of its own.",
            "Choose a layer in it, or merge a copy of the group into one layer.",
        )
    if layer.is_floating_sel():
        raise BackendError(
            UNSUPPORTED, "The floating selection is not a layer yet.", "Make it one first: Layer → To New Layer."
        )
    kind_of(image)
    if output == REPLACE:
        _check_replaceable(layer)
    if output == HIDE_ORIGINAL and layer.get_visible() and layer.get_lock_visibility():
        raise BackendError(
            UNSUPPORTED,
            "The layer's visibility is locked, so it cannot be hidden.",
            "Unlock it, or let the original stay visible.",
        )
    return layer


def has_mask(layer: Gimp.Layer) -> bool:
    """Whether a mask hides parts of it."""
    return layer.get_mask() is not None and layer.get_apply_mask()


def is_plain(layer: Gimp.Layer) -> bool:
    """Whether its pixels are all there is to it: no text, no path, no link."""
    return type(layer) is Gimp.Layer


def source(layer: Gimp.Layer, on_step: OnStep) -> Source:
    """A layer's own pixels; what its mask hides counts as transparent, so that the network does not see it.

    As alpha and not as a selection: a selection says how much of the change a pixel takes, and the soft edge of a
    mask would keep the old colours in half.
    """
    image, masked = layer.get_image(), has_mask(layer)
    kind = kind_of(image)
    alpha = layer.has_alpha() or masked
    pixels = read(layer, kind.format(alpha), kind.pixel_bytes(alpha), on_step)
    made = Source(kind, alpha, layer.get_width(), layer.get_height(), pixels, None)
    if masked:
        made.own_alpha = take_alpha(pixels, kind)
        with backdrop.twin(image, layer) as twin:
            if not twin.remove_mask(Gimp.MaskApplyMode.APPLY):
                raise BackendError(INTERNAL, "GIMP could not apply the layer mask.")
            size = kind.pixel_bytes(True) // kind.channels(True)
            put_alpha(pixels, read(twin, kind.alpha_format, size), kind)
    return made


def selection(layer: Gimp.Layer, output: str) -> bytes | None:
    """How much of each of the layer's pixels is selected, one byte each; None if nothing is, which means all."""
    image = layer.get_image()
    if Gimp.Selection.is_empty(image):
        return None
    _, left, top = layer.get_offsets()
    rect = Gegl.Rectangle.new(left, top, layer.get_width(), layer.get_height())
    selected = bytes(image.get_selection().get_buffer().get(rect, 1.0, "Y u8", Gegl.AbyssPolicy.NONE))
    # Where pixels are replaced, GIMP itself blends them along the selection's soft edge, and must do so only once.
    return selected.translate(_HARD) if output == REPLACE else selected


def check_has_object(layer: Gimp.Layer, selected: bytes | None) -> None:
    """Raises BackendError where nothing can say what of the layer is the object: before anything is read and sent."""
    if selected is None and not layer.has_alpha() and not has_mask(layer):
        raise BackendError(NO_FOREGROUND, OPAQUE, OPAQUE_HINT)


def place(layer: Gimp.Layer) -> dict[str, Any]:
    """Where the layer lies on the canvas, and how much of it shows: with the opacity of the groups it is in."""
    _, left, top = layer.get_offsets()
    opacity, item = 1.0, layer
    while item is not None:
        opacity *= item.get_opacity() / 100
        item = item.get_parent()
    return {"x": left, "y": top, "opacity": min(max(opacity, 0.0), 1.0)}


def _check_replaceable(layer: Gimp.Layer) -> None:
    if not is_plain(layer):
        raise BackendError(
            UNSUPPORTED,
            "The pixels of a text layer cannot be replaced: it would be no text any more.",
            "Let the result go into a new layer.",
        )
    if layer.get_filters():
        raise BackendError(
            UNSUPPORTED,
            "The layer's pixels cannot be replaced while it has effects.",
            "Merge the effects first, or let the result go into a new layer.",
        )
    if _is_locked(layer):
        raise BackendError(
            UNSUPPORTED, "The layer's pixels are locked.", "Unlock them, or let the result go into a new layer."
        )


def _is_locked(item: Gimp.Layer) -> bool:
    while item is not None:
        if item.get_lock_content():
            return True
        item = item.get_parent()
    return False
