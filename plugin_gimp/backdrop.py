"""Rendering a layer and what it is compared with, in copies of the image. The image itself is never changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from gi.repository import Gimp
from pixels import Kind, OnStep, copy_pixels, is_opaque, read_scaled
from thin.choices import BELOW, CHOSEN_LAYER, REPLACE, compute_reference_size
from thin.protocol import BAD_REQUEST, INTERNAL, ThinError

_BAND_PIXELS = 25_000_000
"""Pixels of the canvas that are scaled between two updates of the interface, about a fifth of a second."""


class Placeable(Protocol):
    """A result that is not in the image yet, of this layer."""

    layer: Gimp.Layer

    def place(self, copy: Gimp.Image, twin: Gimp.Layer) -> None:
        """Put the result into a copy of the image.   twin: the layer's counterpart there."""


@contextmanager
def render_backdrop(
    image: Gimp.Image,
    layer: Gimp.Layer,
    compare: str,
    chosen: Gimp.Layer | None,
    lower: Sequence[Placeable] = (),
) -> Iterator[Gimp.Layer]:
    """Yield what the layer is compared with, as one layer of the canvas's size that exists during the block.

    compare: a choice of thin.choices.   chosen: the layer to compare with, for CHOSEN_LAYER.
    lower: results of lower layers, which it is compared with.
    Raise ThinError if no valid layer was chosen, or GIMP can't render it.
    """
    if compare == CHOSEN_LAYER:
        _check_chosen(image, layer, chosen)
    with _duplicate_image(image) as copy:
        shown = _find_twin(image, copy, chosen) if compare == CHOSEN_LAYER else None
        twins = [_find_twin(image, copy, one.layer) for one in lower]  # before their results shift positions
        _hide_item(copy, find_path(image, layer), above=compare == BELOW)  # also where it is in the chosen group
        if lower:
            _resize_canvas(copy, image.get_width(), image.get_height())  # which a selection needs
        for one, twin in zip(lower, twins, strict=True):
            one.place(copy, twin)
        if shown is not None:
            _show_only(copy, shown)
        _resize_canvas(copy, image.get_width(), image.get_height())
        visible = Gimp.Layer.new_from_visible(copy, copy, "visible")
        if visible is None:
            raise ThinError(INTERNAL, "GIMP could not render the image.")
        _resize_canvas(copy, 1, 1)
        yield visible


def read_reference(visible: Gimp.Layer, kind: Kind, on_step: OnStep) -> tuple[dict[str, Any], bytes]:
    """Return the protocol's `reference` map of a rendered canvas, and its pixels, scaled down, with alpha."""
    canvas_width, canvas_height = visible.get_width(), visible.get_height()
    width, height = compute_reference_size(canvas_width, canvas_height)
    scale = max(width, height) / max(canvas_width, canvas_height)
    pixel_format = kind.get_format(alpha=True)
    # Scale a large canvas in bands first and discard them: GEGL scales it tile by tile, which takes time, and caches
    # the tiles. The final call is then fast. The bands can't be joined, because each starts from its own first pixel.
    count = math.ceil(canvas_width * canvas_height / _BAND_PIXELS)
    for band in range(count if count > 1 else 0):
        top, bottom = (height * edge // count for edge in (band, band + 1))
        read_scaled(visible, pixel_format, (0, top, width, bottom - top), scale)
        on_step(bottom / height)
    pixels = read_scaled(visible, pixel_format, (0, 0, width, height), scale)
    fields = kind.describe_picture(width, height, alpha=True)
    return {**fields, "canvas_width": canvas_width, "canvas_height": canvas_height}, pixels


def find_path(image: Gimp.Image, item: Gimp.Layer) -> list[int]:
    """Return an item's position at every level, outermost group first; 0 is the topmost."""
    path = []
    while item is not None:
        path.insert(0, image.get_item_position(item))
        item = item.get_parent()
    return path


def has_mask(layer: Gimp.Layer) -> bool:
    """Return whether a mask hides parts of the layer."""
    return layer.get_mask() is not None and layer.get_apply_mask()


def is_plain(layer: Gimp.Layer) -> bool:
    """Return whether the layer consists only of its pixels, unlike a text, vector or link layer or a group."""
    return type(layer) is Gimp.Layer


def is_rasterized(layer: Gimp.Layer) -> bool:
    """Return whether a text, vector or link layer was rasterized, which GIMP 3.2 can also revert."""
    return hasattr(layer, "is_rasterized") and bool(layer.is_rasterized())


@contextmanager
def render_layer(image: Gimp.Image, layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """Yield a pixel layer that looks like this one before mask, opacity and mode. It has this layer's mask.

    It is the layer itself if that is plain. Otherwise it is a layer in a copy of the image, which exists during the
    block and has effects, text or a group's layers merged into its pixels. Its size may differ.
    Raise ThinError if GIMP can't render it.
    """
    if is_plain(layer) and not layer.get_filters():
        yield layer
        return
    with _duplicate_image(image) as copy:
        merged = _merge_layer(copy, _find_twin(image, copy, layer))
        if not layer.has_alpha() and is_opaque(merged):
            _check_call(merged.flatten())  # merging added an alpha channel
        if layer.get_mask() is not None:
            mask = merged.create_mask(Gimp.AddMaskType.BLACK)
            _check_call(merged.add_mask(mask))
            copy_pixels(layer.get_mask(), mask, *(layer.get_offsets()[i] - merged.get_offsets()[i] for i in (1, 2)))
            _check_call(merged.set_apply_mask(layer.get_apply_mask()))
        yield merged


def open_seen(image: Gimp.Image, layer: Gimp.Layer, output: str) -> AbstractContextManager[Gimp.Layer]:
    """Return a context with the layer's visible pixels: the layer itself if they are replaced, as it is plain then."""
    return nullcontext(layer) if output == REPLACE else render_layer(image, layer)


@contextmanager
def apply_mask(layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """Yield the layer, or one in a copy of its image whose hidden parts are transparent instead of masked."""
    if not has_mask(layer):
        yield layer
        return
    image = layer.get_image()
    with _duplicate_image(image) as copy:
        twin = _find_twin(image, copy, layer)
        _check_call(twin.remove_mask(Gimp.MaskApplyMode.APPLY))
        yield twin


def _check_chosen(image: Gimp.Image, layer: Gimp.Layer, chosen: Gimp.Layer | None) -> None:
    """Raise ThinError unless the chosen layer is another layer of this image."""
    if chosen is None or not chosen.is_valid() or chosen.get_image().get_id() != image.get_id():
        raise ThinError(BAD_REQUEST, "No layer was chosen to compare with.", "Choose one of this image's layers.")
    if chosen.get_id() == layer.get_id():
        raise ThinError(BAD_REQUEST, "The layer cannot be compared with itself.", "Choose another layer.")


@contextmanager
def _duplicate_image(image: Gimp.Image) -> Iterator[Gimp.Image]:
    """Yield a copy of an image that exists during the block, with unlocked layers and, if possible, a one-pixel canvas.

    Whenever GIMP is idle, it renders its images for a fifteenth of a second and delays calls meanwhile. A canvas of one
    pixel avoids that for a copy that nobody sees.
    """
    copy = image.duplicate()
    if copy is None:
        raise ThinError(INTERNAL, "GIMP could not copy the image.")
    try:
        _unlock_layers(copy.get_layers())
        _resize_canvas(copy, 1, 1)
        yield copy
    finally:
        copy.delete()


def _resize_canvas(copy: Gimp.Image, width: int, height: int) -> None:
    """Resize a copy's canvas; the layers stay where they are.

    Keep the size if a pass-through group has effects: in GIMP 3.2 these don't grow with the canvas again.
    """
    if _has_effects_on_below(copy.get_layers()):
        return
    if not copy.resize(width, height, 0, 0):
        raise ThinError(INTERNAL, "GIMP could not resize a copy of the image.")
    _redraw_vectors(copy.get_layers())


def _has_effects_on_below(layers: list[Gimp.Layer]) -> bool:
    """Return whether there is a pass-through group with effects, which also change the layers below it."""
    for layer in layers:
        if layer.is_group():
            if layer.get_mode() == Gimp.LayerMode.PASS_THROUGH and layer.get_filters():
                return True
            if _has_effects_on_below(layer.get_children()):
                return True
    return False


def _find_twin(image: Gimp.Image, copy: Gimp.Image, layer: Gimp.Layer) -> Gimp.Layer:
    """Return the layer's counterpart in a copy of its image."""
    siblings = copy.get_layers()
    for position in find_path(image, layer):
        found = siblings[position]
        siblings = found.get_children() if found.is_group() else []
    return found


def _merge_layer(copy: Gimp.Image, twin: Gimp.Layer) -> Gimp.Layer:
    """Turn a layer of any kind in a copy of the image into a plain one that looks the same, without its mask.

    Put it into a group and merge that, which renders everything in it.
    """
    group = Gimp.GroupLayer.new(copy, twin.get_name())
    _check_call(copy.insert_layer(group, None, 0))
    _check_call(copy.reorder_item(twin, group, 0))
    _show_plainly(twin)
    if twin.get_mask() is not None:
        _check_call(twin.set_show_mask(False))
        _check_call(twin.set_apply_mask(False))
    _, left, top = twin.get_offsets()
    width, height = twin.get_width(), twin.get_height()
    merged = group.merge()
    _check_call(merged is not None)
    grown = (merged.get_width() - width, merged.get_height() - height)
    if max(grown) <= 0 or merged.get_offsets()[1:] != (left, top):
        return merged
    # An effect enlarged it. GIMP 3.0 does not say on which side, so add as much on every side.
    across, down = (max(0, side) for side in grown)
    for item in copy.get_layers():
        _check_call(item.set_visible(item.get_id() == merged.get_id()))
    _check_call(copy.resize(width + 2 * across, height + 2 * down, across - left, down - top))
    visible = Gimp.Layer.new_from_visible(copy, copy, merged.get_name())
    _check_call(visible is not None and copy.insert_layer(visible, None, 0))
    _check_call(visible.set_offsets(left - across, top - down))
    _resize_canvas(copy, 1, 1)
    return visible


def _hide_item(copy: Gimp.Image, path: list[int], above: bool) -> None:
    """Hide the item at a path and, with `above`, the items above it at every level."""
    siblings = copy.get_layers()
    for position in path:
        item = siblings[position]
        for hidden in siblings[:position] if above else []:
            _check_call(hidden.set_visible(False))
        siblings = item.get_children() if item.is_group() else []
    _check_call(item.set_visible(False))


def _show_only(copy: Gimp.Image, chosen: Gimp.Layer) -> None:
    """Show one layer on its own, outside its groups, and hide everything else."""
    if chosen.get_parent() is not None:
        copy.reorder_item(chosen, None, 0)
    for item in copy.get_layers():
        _check_call(item.set_visible(item.get_id() == chosen.get_id()))
    _show_plainly(chosen)


def _show_plainly(layer: Gimp.Layer) -> None:
    """Make a layer of a copy visible, opaque and unblended."""
    _check_call(layer.set_visible(True))
    _check_call(layer.set_opacity(100.0))
    _check_call(layer.set_mode(Gimp.LayerMode.NORMAL))
    _check_call(layer.set_composite_mode(Gimp.LayerCompositeMode.AUTO))


def _unlock_layers(layers: list[Gimp.Layer]) -> None:
    """Unlock pixels and visibility of a copy's layers. Other locks stay, because they change what effects show."""
    for layer in layers:
        if layer.get_lock_content():
            _check_call(layer.set_lock_content(False))
        if layer.get_lock_visibility():
            _check_call(layer.set_lock_visibility(False))
        if layer.is_group():
            _unlock_layers(layer.get_children())


def _redraw_vectors(layers: list[Gimp.Layer]) -> None:
    """Redraw a copy's vector layers: GIMP 3.2 loses pixels of locked ones when it copies or resizes an image."""
    for layer in layers:
        if layer.is_group():
            _redraw_vectors(layer.get_children())
        elif type(layer).__name__ == "VectorLayer" and not is_rasterized(layer):
            alpha_locked = layer.get_lock_alpha()
            _check_call(layer.set_lock_alpha(False))
            _check_call(layer.refresh())
            _check_call(layer.set_lock_alpha(alpha_locked))


def _check_call(done: bool) -> None:
    """Raise ThinError if a call of libgimp has returned False, its way to report failure."""
    if not done:
        raise ThinError(INTERNAL, f"GIMP could not render the layer: {Gimp.get_pdb().get_last_error()}.")
