"""What a layer shows and what it is compared with, from copies of the image: the image itself is never touched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gi.repository import Gimp
from pixels import Kind, OnStep, copy_pixels, is_opaque, read_scaled
from thin.choices import BELOW, CHOSEN_LAYER, compute_reference_size
from thin.protocol import BAD_REQUEST, INTERNAL, ThinError

_BAND_PIXELS = 25_000_000
"""Of the canvas, that are reduced between two looks at the interface: a fifth of a second, or thereabouts."""


@contextmanager
def render_backdrop(
    image: Gimp.Image, layer: Gimp.Layer, compare: str, chosen: Gimp.Layer | None
) -> Iterator[Gimp.Layer]:
    """What shows of an image for a comparison, as one layer of the canvas's size, for as long as the block lasts.

    compare: what of it (thin.choices).   chosen: the layer to compare with, if that was chosen.
    Raises ThinError if there is none, or GIMP does not do it.
    """
    if compare == CHOSEN_LAYER:
        _check_chosen(image, layer, chosen)
    with _duplicate_image(image) as copy:
        shown = _find_twin(image, copy, chosen) if compare == CHOSEN_LAYER else None
        _hide_item(copy, _find_path(image, layer), above=compare == BELOW)  # also where it is in the chosen group
        if shown is not None:
            _show_only(copy, shown)
        _resize_canvas(copy, image.get_width(), image.get_height())
        visible = Gimp.Layer.new_from_visible(copy, copy, "visible")
        if visible is None:
            raise ThinError(INTERNAL, "GIMP could not render the image.")
        _resize_canvas(copy, 1, 1)
        yield visible


def read_reference(visible: Gimp.Layer, kind: Kind, on_step: OnStep) -> tuple[dict[str, Any], bytes]:
    """The protocol's `reference` of a rendered canvas: its map, and its pixels, reduced, with alpha."""
    canvas_width, canvas_height = visible.get_width(), visible.get_height()
    width, height = compute_reference_size(canvas_width, canvas_height)
    scale = max(width, height) / max(canvas_width, canvas_height)
    pixel_format = kind.get_format(alpha=True)
    # A large one in bands first, and away with them: GEGL reduces it tile by tile, which takes time, and keeps those.
    # What counts is then there sooner: bands put together would have seams, as each starts from its own first pixel.
    count = math.ceil(canvas_width * canvas_height / _BAND_PIXELS)
    for band in range(count if count > 1 else 0):
        top, bottom = (height * edge // count for edge in (band, band + 1))
        read_scaled(visible, pixel_format, (0, top, width, bottom - top), scale)
        on_step(bottom / height)
    pixels = read_scaled(visible, pixel_format, (0, 0, width, height), scale)
    fields = kind.describe_picture(width, height, alpha=True)
    return {**fields, "canvas_width": canvas_width, "canvas_height": canvas_height}, pixels


def has_mask(layer: Gimp.Layer) -> bool:
    """Whether a mask hides parts of it."""
    return layer.get_mask() is not None and layer.get_apply_mask()


def is_plain(layer: Gimp.Layer) -> bool:
    """Whether its pixels are all there is to it, and a copy's too: no text, no path, no link, no group."""
    return type(layer) is Gimp.Layer


def is_rasterized(layer: Gimp.Layer) -> bool:
    """Whether a text, vector or link layer was turned into mere pixels, which GIMP 3.2 can also undo."""
    return hasattr(layer, "is_rasterized") and bool(layer.is_rasterized())


@contextmanager
def render_layer(image: Gimp.Image, layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """A layer of pixels that show what this one does, before its mask, opacity and mode; it has its mask.

    The layer itself if its pixels are all there is to it. Otherwise a layer in a copy of the image, with effects, text
    or a group's layers merged into its pixels, for as long as the block lasts; that may be of another size.
    Raises ThinError if GIMP does not do it.
    """
    if is_plain(layer) and not layer.get_filters():
        yield layer
        return
    with _duplicate_image(image) as copy:
        merged = _merge_layer(copy, _find_twin(image, copy, layer))
        if not layer.has_alpha() and is_opaque(merged):
            _check_call(merged.flatten())  # merging gave it an alpha channel
        if layer.get_mask() is not None:
            mask = merged.create_mask(Gimp.AddMaskType.BLACK)
            _check_call(merged.add_mask(mask))
            copy_pixels(layer.get_mask(), mask, *(layer.get_offsets()[i] - merged.get_offsets()[i] for i in (1, 2)))
            _check_call(merged.set_apply_mask(layer.get_apply_mask()))
        yield merged


@contextmanager
def apply_mask(layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """The layer, or one in a copy of its image where what its mask hides is transparent instead."""
    if not has_mask(layer):
        yield layer
        return
    image = layer.get_image()
    with _duplicate_image(image) as copy:
        twin = _find_twin(image, copy, layer)
        _check_call(twin.remove_mask(Gimp.MaskApplyMode.APPLY))
        yield twin


def _check_chosen(image: Gimp.Image, layer: Gimp.Layer, chosen: Gimp.Layer | None) -> None:
    if chosen is None or not chosen.is_valid() or chosen.get_image().get_id() != image.get_id():
        raise ThinError(BAD_REQUEST, "No layer was chosen to compare with.", "Choose one of this image's layers.")
    if chosen.get_id() == layer.get_id():
        raise ThinError(BAD_REQUEST, "The layer cannot be compared with itself.", "Choose another layer.")


@contextmanager
def _duplicate_image(image: Gimp.Image) -> Iterator[Gimp.Image]:
    """A copy of an image, for as long as the block lasts; its layers are as they were but for locks, its canvas is a
    single pixel where that can be.

    Whenever it is left alone for a moment, GIMP goes on rendering its images for a fifteenth of a second, and lets
    questions wait. Nobody looks at this one.
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
    """Gives a copy's canvas another size; the layers stay where they are.

    It keeps its size where a pass-through group has effects: in GIMP 3.2 those don't grow with the canvas again.
    """
    if _has_effects_on_below(copy.get_layers()):
        return
    if not copy.resize(width, height, 0, 0):
        raise ThinError(INTERNAL, "GIMP could not resize a copy of the image.")
    _redraw_vectors(copy.get_layers())


def _has_effects_on_below(layers: list[Gimp.Layer]) -> bool:
    """Whether there is a pass-through group whose effects change what is below it too."""
    for layer in layers:
        if layer.is_group():
            if layer.get_mode() == Gimp.LayerMode.PASS_THROUGH and layer.get_filters():
                return True
            if _has_effects_on_below(layer.get_children()):
                return True
    return False


def _find_path(image: Gimp.Image, item: Gimp.Layer) -> list[int]:
    """An item's position at every level, outermost group first; 0 is the topmost."""
    path = []
    while item is not None:
        path.insert(0, image.get_item_position(item))
        item = item.get_parent()
    return path


def _find_twin(image: Gimp.Image, copy: Gimp.Image, layer: Gimp.Layer) -> Gimp.Layer:
    """The layer's like in a copy of its image."""
    siblings = copy.get_layers()
    for position in _find_path(image, layer):
        found = siblings[position]
        siblings = found.get_children() if found.is_group() else []
    return found


def _merge_layer(copy: Gimp.Image, twin: Gimp.Layer) -> Gimp.Layer:
    """Turns a layer of any kind in a copy of the image into a plain one that shows the same, without its mask.

    By a group around it: merging that renders whatever is in it.
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
    # An effect made it larger, and GIMP 3.0 does not tell to which side, so take as much on every side.
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
    """Hides the item at a path and, with `above`, what lies over it at every level."""
    siblings = copy.get_layers()
    for position in path:
        item = siblings[position]
        for hidden in siblings[:position] if above else []:
            _check_call(hidden.set_visible(False))
        siblings = item.get_children() if item.is_group() else []
    _check_call(item.set_visible(False))


def _show_only(copy: Gimp.Image, chosen: Gimp.Layer) -> None:
    """Shows one layer as it is by itself, out of its groups, whatever lies around it."""
    if chosen.get_parent() is not None:
        copy.reorder_item(chosen, None, 0)
    for item in copy.get_layers():
        _check_call(item.set_visible(item.get_id() == chosen.get_id()))
    _show_plainly(chosen)


def _show_plainly(layer: Gimp.Layer) -> None:
    """Lets a layer of a copy show without regard to what lies below it."""
    _check_call(layer.set_visible(True))
    _check_call(layer.set_opacity(100.0))
    _check_call(layer.set_mode(Gimp.LayerMode.NORMAL))
    _check_call(layer.set_composite_mode(Gimp.LayerCompositeMode.AUTO))


def _unlock_layers(layers: list[Gimp.Layer]) -> None:
    """Unlocks pixels and visibility of a copy's layers. Other locks stay: they change what effects show."""
    for layer in layers:
        if layer.get_lock_content():
            _check_call(layer.set_lock_content(False))
        if layer.get_lock_visibility():
            _check_call(layer.set_lock_visibility(False))
        if layer.is_group():
            _unlock_layers(layer.get_children())


def _redraw_vectors(layers: list[Gimp.Layer]) -> None:
    """Draws a copy's vector layers anew: GIMP 3.2 loses pixels of locked ones when it copies or resizes an image."""
    for layer in layers:
        if layer.is_group():
            _redraw_vectors(layer.get_children())
        elif type(layer).__name__ == "VectorLayer" and not is_rasterized(layer):
            alpha_locked = layer.get_lock_alpha()
            _check_call(layer.set_lock_alpha(False))
            _check_call(layer.refresh())
            _check_call(layer.set_lock_alpha(alpha_locked))


def _check_call(done: bool) -> None:
    """libgimp's calls return False where others would raise."""
    if not done:
        raise ThinError(INTERNAL, f"GIMP could not render the layer: {Gimp.get_pdb().get_last_error()}.")
