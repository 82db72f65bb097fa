"""The backend's request for a layer: finding and checking the layer, and reading its pixels, position and selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backdrop import apply_mask, find_path, has_mask, is_plain, is_rasterized
from gi.repository import Gegl, Gimp
from pixels import Kind, OnStep, get_kind, put_alpha, read_pixels, take_alpha
from thin.choices import HIDE_ORIGINAL, OPAQUE, OPAQUE_HINT, REPLACE, format_left_out
from thin.protocol import BAD_REQUEST, DEPTHS, NO_FOREGROUND, TRIMS, UNSUPPORTED, ThinError

_HARD = bytes([0] + [255] * 255)
"""Translation table that removes a selection's soft edges."""
_KINDS = {
    "GroupLayer": "layer group",
    "LinkLayer": "link layer",
    "TextLayer": "text layer",
    "VectorLayer": "vector layer",
}
"""Names of the classes of layers that are more than their pixels. Not every version of GIMP has all of them."""
_OVER = (Gimp.LayerCompositeMode.AUTO, Gimp.LayerCompositeMode.UNION)
"""Composite modes that are equivalent for a layer of mode Normal."""


@dataclass(frozen=True)
class Settings:
    """The user's choices.

    strength: 0..1.   compare, output: choices of thin.choices.   chosen: the layer to compare with.
    variant: the version, from 1 to MAX_VARIANTS.   brightness, warmth, saturation: from -MAX_TRIM to MAX_TRIM.
    """

    strength: float
    compare: str
    chosen: Gimp.Layer | None
    clean_edges: bool
    output: str
    variant: int
    brightness: int
    warmth: int
    saturation: int

    @property
    def options(self) -> dict[str, Any]:
        """The protocol's `options`, without those that change nothing, which an older backend may not know."""
        options: dict[str, Any] = {"strength": self.strength}
        if self.clean_edges:
            options["clean_edges"] = True
        if self.variant != 1:
            options["variant"] = self.variant
        return {**options, **{name: getattr(self, name) for name in TRIMS if getattr(self, name)}}


def read_settings(config: Gimp.ProcedureConfig) -> Settings:
    """Return the settings in the procedure's arguments."""
    names = ("strength", "compare", "reference", "clean-edges", "output", "variant")
    return Settings(*(config.get_property(name) for name in (*names, *TRIMS)))


@dataclass
class Source:
    """A layer's pixels for the backend.

    pixels: with alpha if `alpha`.   own_alpha: the layer's alpha, if the sent one includes the mask.
    """

    kind: Kind
    alpha: bool
    width: int
    height: int
    pixels: bytearray
    own_alpha: bytearray | None

    def restore_alpha(self, answer: bytearray) -> None:
        """Restore the layer's own alpha in the answer's pixels, because the mask stays a mask."""
        if self.own_alpha is not None:
            put_alpha(answer, self.own_alpha, self.kind)


def find_layers(image: Gimp.Image, drawables: Sequence[Gimp.Drawable]) -> list[Gimp.Layer]:
    """Return the layers to harmonize, lowest first. Layers in a selected group belong to the group.

    Raise ThinError if there is none, or a drawable is not of a layer.
    """
    if not drawables:
        raise ThinError(BAD_REQUEST, "No layer is selected.", "Select one or more layers and try again.")
    found: dict[int, Gimp.Layer] = {}
    for drawable in drawables:
        # A selected mask stands for its layer.
        layer = Gimp.Layer.from_mask(drawable) if isinstance(drawable, Gimp.LayerMask) else drawable
        if not isinstance(layer, Gimp.Layer):
            raise ThinError(UNSUPPORTED, "Only layers can be harmonized.", "Select a layer and try again.")
        found[layer.get_id()] = layer
    outermost = [layer for layer in found.values() if not found.keys() & _list_group_ids(layer)]
    return sorted(outermost, key=lambda layer: find_path(image, layer), reverse=True)


def check_is_open(image: Gimp.Image, drawables: Sequence[Gimp.Drawable]) -> None:
    """Raise ThinError if the image or one of the drawables is gone. GIMP can be used while a window is open."""
    if not image.is_valid() or not all(drawable.is_valid() for drawable in drawables):
        raise ThinError(BAD_REQUEST, "The image was closed or the layer was removed.", "Select a layer and try again.")


def keep_usable(image: Gimp.Image, layers: list[Gimp.Layer], output: str, left_out: list[str]) -> list[Gimp.Layer]:
    """Return those of several layers that can be harmonized, and add a sentence on each of the others to `left_out`.

    output: a choice of thin.choices, or "" before it is made.
    Raise ThinError if none can be harmonized, for a layer that is the only one with its own reason.
    """
    if len(layers) == 1 and not left_out:
        _check_layer(image, layers[0], output)
        return layers
    usable = []
    for layer in layers:
        try:
            _check_layer(image, layer, output)
            if is_plain(layer):  # of others, only rendering tells
                check_has_object(has_shape(layer), None if Gimp.Selection.is_empty(image) else b"")
        except ThinError as error:
            left_out.append(format_left_out(layer.get_name(), error))
        else:
            usable.append(layer)
    if not usable:
        raise make_none_left_error(left_out)
    return usable


def make_none_left_error(left_out: list[str]) -> ThinError:
    """Return the error for several layers of which none can be harmonized.   left_out: a sentence on each."""
    return ThinError(UNSUPPORTED, "None of the selected layers can be harmonized.", "\n".join(left_out))


def read_source(layer: Gimp.Layer, on_step: OnStep) -> Source:
    """Return a layer's own pixels. What its mask hides is transparent, so that the network ignores it.

    The mask is sent as alpha and not as a selection. A selection limits how much a pixel changes, so a mask's soft edge
    would keep half of the old colours.
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
    """Return how much of each of the layer's pixels is selected, one byte each; None if there is no selection.

    layer: may be a layer of a copy of this image.
    """
    if Gimp.Selection.is_empty(image):
        return None
    _, left, top = layer.get_offsets()
    rect = Gegl.Rectangle.new(left, top, layer.get_width(), layer.get_height())
    selected = bytes(image.get_selection().get_buffer().get(rect, 1.0, "Y u8", Gegl.AbyssPolicy.NONE))
    # When pixels are replaced, GIMP itself blends them along the selection's soft edge. Blending twice would be wrong.
    return selected.translate(_HARD) if output == REPLACE else selected


def has_shape(layer: Gimp.Layer) -> bool:
    """Return whether the layer can have transparency, which defines the object."""
    return layer.has_alpha() or has_mask(layer)


def check_has_object(is_shaped: bool, selected: bytes | None) -> None:
    """Raise ThinError if neither transparency nor a selection defines the object."""
    if selected is None and not is_shaped:
        raise ThinError(NO_FOREGROUND, OPAQUE, OPAQUE_HINT)


def read_placement(layer: Gimp.Layer, seen: Gimp.Layer) -> dict[str, Any]:
    """Return a layer's position on the canvas and its opacity, including that of its groups.

    seen: the layer that `backdrop.render_layer` yields for it.
    """
    _, left, top = seen.get_offsets()
    opacity = 1.0
    for item in _iterate_with_groups(layer):
        opacity *= item.get_opacity() / 100
    return {"x": left, "y": top, "opacity": min(max(opacity, 0.0), 1.0)}


def _list_group_ids(layer: Gimp.Layer) -> set[int]:
    return {group.get_id() for group in _iterate_with_groups(layer.get_parent())}


def _check_layer(image: Gimp.Image, layer: Gimp.Layer, output: str) -> None:
    """Raise ThinError if a layer can't be harmonized."""
    if layer.get_mode() == Gimp.LayerMode.PASS_THROUGH and _blends_with_below(layer):
        raise ThinError(
            UNSUPPORTED,
            "The layers in this pass-through group blend with the layers below the group.",
            "Set the mode of the group to Normal, or harmonize the layers in it one by one.",
        )
    if layer.is_floating_sel():
        raise ThinError(
            UNSUPPORTED,
            "A floating selection cannot be harmonized.",
            "Turn it into a layer first: Layer → To New Layer.",
        )
    get_kind(image)
    if output == REPLACE:
        _check_replaceable(layer)
    if output == HIDE_ORIGINAL and layer.get_visible() and layer.get_lock_visibility():
        raise ThinError(
            UNSUPPORTED,
            "The layer's visibility is locked, so it cannot be hidden.",
            "Unlock it, or keep the original visible.",
        )


def _check_replaceable(layer: Gimp.Layer) -> None:
    """Raise ThinError if the layer's pixels can't be replaced."""
    hint = "Choose a new layer as the output."
    if not is_plain(layer) and not is_rasterized(layer):
        kind = _KINDS.get(type(layer).__name__, "layer of this kind")
        raise ThinError(UNSUPPORTED, f"The pixels of a {kind} cannot be replaced.", hint)
    if layer.get_filters():
        raise ThinError(
            UNSUPPORTED,
            "The layer's pixels cannot be replaced while it has effects.",
            "Merge the effects first, or choose a new layer as the output.",
        )
    for item in _iterate_with_groups(layer):
        if item.get_lock_content():
            raise ThinError(
                UNSUPPORTED,
                f"The pixels of “{item.get_name()}” are locked.",
                "Unlock them, or choose a new layer as the output.",
            )


def _iterate_with_groups(item: Gimp.Layer | None) -> Iterator[Gimp.Layer]:
    """Yield a layer, then its groups, innermost first."""
    while item is not None:
        yield item
        item = item.get_parent()


def _blends_with_below(group: Gimp.GroupLayer) -> bool:
    """Return whether a pass-through group looks different from the same group in mode Normal."""
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
