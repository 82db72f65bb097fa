"""What the backend is asked for one layer: which layers can be worked on, their pixels, place and selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backdrop import apply_mask, has_mask, is_plain, is_rasterized
from gi.repository import Gegl, Gimp
from pixels import Kind, OnStep, get_kind, put_alpha, read_pixels, take_alpha
from thin.choices import HIDE_ORIGINAL, OPAQUE, OPAQUE_HINT, REPLACE
from thin.protocol import BAD_REQUEST, DEPTHS, NO_FOREGROUND, UNSUPPORTED, ThinError

_HARD = bytes([0] + [255] * 255)
"""Translates a selection to one without soft edges."""
_KINDS = {
    "GroupLayer": "layer group",
    "LinkLayer": "link layer",
    "TextLayer": "text layer",
    "VectorLayer": "vector layer",
}
"""What GIMP calls the classes of layers that are more than their pixels; not every version has each."""
_OVER = (Gimp.LayerCompositeMode.AUTO, Gimp.LayerCompositeMode.UNION)
"""Ways to put a layer of mode Normal over what is below it, which are the same."""


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


def read_settings(config: Gimp.ProcedureConfig) -> Settings:
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


def find_layer(image: Gimp.Image, drawables: Sequence[Gimp.Drawable], output: str) -> Gimp.Layer:
    """The one layer that is to be harmonized.

    Raises ThinError that says why there is none, or why it cannot be.
    """
    if len(drawables) != 1:
        raise ThinError(BAD_REQUEST, "More than one layer is chosen, or none.", "Choose one layer and try again.")
    layer = drawables[0]
    if isinstance(layer, Gimp.LayerMask):  # who just painted the mask means its layer
        layer = Gimp.Layer.from_mask(layer)
    if not isinstance(layer, Gimp.Layer):
        raise ThinError(UNSUPPORTED, "Only layers can be harmonized.", "Choose a layer and try again.")
    if layer.get_mode() == Gimp.LayerMode.PASS_THROUGH and _blends_with_below(layer):
        raise ThinError(
            UNSUPPORTED,
            "The layers in this pass-through group blend with what is below the group.",
            "Set the mode of the group to Normal, or harmonize the layers in it one by one.",
        )
    if layer.is_floating_sel():
        raise ThinError(
            UNSUPPORTED, "The floating selection is not a layer yet.", "Make it one first: Layer → To New Layer."
        )
    get_kind(image)
    if output == REPLACE:
        _check_replaceable(layer)
    if output == HIDE_ORIGINAL and layer.get_visible() and layer.get_lock_visibility():
        raise ThinError(
            UNSUPPORTED,
            "The layer's visibility is locked, so it cannot be hidden.",
            "Unlock it, or let the original stay visible.",
        )
    return layer


def read_source(layer: Gimp.Layer, on_step: OnStep) -> Source:
    """A layer's own pixels; what its mask hides counts as transparent, so that the network does not see it.

    As alpha and not as a selection: a selection says how much of the change a pixel takes, and the soft edge of a
    mask would keep the old colours in half.
    """
    kind, masked = get_kind(layer.get_image()), has_mask(layer)
    alpha = layer.has_alpha() or masked
    pixels = read_pixels(layer, kind.get_format(alpha), kind.count_pixel_bytes(alpha), on_step)
    made = Source(kind, alpha, layer.get_width(), layer.get_height(), pixels, None)
    if masked:
        made.own_alpha = take_alpha(pixels, kind)
        with apply_mask(layer) as bare:
            put_alpha(pixels, read_pixels(bare, kind.alpha_format, DEPTHS[kind.depth]), kind)
    return made


def read_selection(image: Gimp.Image, layer: Gimp.Layer, output: str) -> bytes | None:
    """How much of each of the layer's pixels is selected, one byte each; None if nothing is, which means all.

    layer: may be a copy's, of this image.
    """
    if Gimp.Selection.is_empty(image):
        return None
    _, left, top = layer.get_offsets()
    rect = Gegl.Rectangle.new(left, top, layer.get_width(), layer.get_height())
    selected = bytes(image.get_selection().get_buffer().get(rect, 1.0, "Y u8", Gegl.AbyssPolicy.NONE))
    # Where pixels are replaced, GIMP itself blends them along the selection's soft edge, and must do so only once.
    return selected.translate(_HARD) if output == REPLACE else selected


def has_shape(layer: Gimp.Layer) -> bool:
    """Whether some of the layer may be transparent, which says what the object is."""
    return layer.has_alpha() or has_mask(layer)


def check_has_object(is_shaped: bool, selected: bytes | None) -> None:
    """Raises ThinError where nothing can say what of the layer is the object: before anything is read and sent."""
    if selected is None and not is_shaped:
        raise ThinError(NO_FOREGROUND, OPAQUE, OPAQUE_HINT)


def read_placement(layer: Gimp.Layer, seen: Gimp.Layer) -> dict[str, Any]:
    """Where a layer lies on the canvas, and how much of it shows: with the opacity of the groups it is in.

    seen: the layer, or what shows its pixels (backdrop.render_layer).
    """
    _, left, top = seen.get_offsets()
    opacity = 1.0
    for item in _with_groups(layer):
        opacity *= item.get_opacity() / 100
    return {"x": left, "y": top, "opacity": min(max(opacity, 0.0), 1.0)}


def _check_replaceable(layer: Gimp.Layer) -> None:
    hint = "Let the result go into a new layer."
    if not is_plain(layer) and not is_rasterized(layer):
        kind = _KINDS.get(type(layer).__name__, "layer of this kind")
        raise ThinError(UNSUPPORTED, f"The pixels of a {kind} cannot be replaced.", hint)
    if layer.get_filters():
        raise ThinError(
            UNSUPPORTED,
            "The layer's pixels cannot be replaced while it has effects.",
            "Merge the effects first, or let the result go into a new layer.",
        )
    for item in _with_groups(layer):
        if item.get_lock_content():
            raise ThinError(
                UNSUPPORTED,
                f"The pixels of “{item.get_name()}” are locked.",
                "Unlock them, or let the result go into a new layer.",
            )


def _with_groups(item: Gimp.Layer | None) -> Iterator[Gimp.Layer]:
    """A layer, then the groups it is in, the innermost first."""
    while item is not None:
        yield item
        item = item.get_parent()


def _blends_with_below(group: Gimp.GroupLayer) -> bool:
    """Whether a pass-through group shows something else than it would as a group of mode Normal."""
    if any(effect.get_visible() for effect in group.get_filters()):
        return True
    for item in group.get_children():
        if not item.get_visible():
            continue
        if item.get_mode() == Gimp.LayerMode.PASS_THROUGH:
            if _blends_with_below(item):
                return True
        elif item.get_mode() != Gimp.LayerMode.NORMAL or item.get_composite_mode() not in _OVER:
            return True
    return False
