"""What a layer is compared with, rendered from a copy of the image: the image itself is never touched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gi.repository import Gimp
from pixels import Kind, OnStep, small
from thin.choices import BELOW, CHOSEN_LAYER, reference_size
from thin.protocol import BAD_REQUEST, INTERNAL, BackendError

_BAND_PIXELS = 25_000_000
"""Of the canvas, that are reduced between two looks at the interface: a fifth of a second, or thereabouts."""


@contextmanager
def backdrop(image: Gimp.Image, layer: Gimp.Layer, compare: str, chosen: Gimp.Layer | None) -> Iterator[Gimp.Layer]:
    """What shows of an image for a comparison, as one layer of the canvas's size, for as long as the block lasts.

    compare: what of it (thin.choices).   chosen: the layer to compare with, if that was chosen.
    Raises BackendError if there is none, or GIMP does not do it.
    """
    if compare == CHOSEN_LAYER:
        _check_chosen(image, layer, chosen)
    with _copy(image) as copy:
        if compare == CHOSEN_LAYER:
            _show_only(copy, _twin(image, copy, chosen))
        else:
            _hide(copy, _path(image, layer), above=compare == BELOW)
        _resize(copy, image.get_width(), image.get_height())
        visible = Gimp.Layer.new_from_visible(copy, copy, "visible")
        if visible is None:
            raise BackendError(INTERNAL, "GIMP could not render the image.")
        _resize(copy, 1, 1)
        yield visible


def reference(visible: Gimp.Layer, kind: Kind, on_step: OnStep) -> tuple[dict[str, Any], bytes]:
    """The protocol's `reference` of a rendered canvas: its map, and its pixels, reduced, with alpha."""
    canvas_width, canvas_height = visible.get_width(), visible.get_height()
    width, height = reference_size(canvas_width, canvas_height)
    scale = max(width, height) / max(canvas_width, canvas_height)
    pixel_format = kind.format(alpha=True)
    # A large one in bands first, and away with them: GEGL reduces it tile by tile, which takes time, and keeps those.
    # What counts is then there sooner: bands put together would have seams, as each starts from its own first pixel.
    count = math.ceil(canvas_width * canvas_height / _BAND_PIXELS)
    for band in range(count if count > 1 else 0):
        top, bottom = (height * edge // count for edge in (band, band + 1))
        small(visible, pixel_format, (0, top, width, bottom - top), scale)
        on_step(bottom / height)
    pixels = small(visible, pixel_format, (0, 0, width, height), scale)
    fields = kind.picture(width, height, alpha=True)
    return {**fields, "canvas_width": canvas_width, "canvas_height": canvas_height}, pixels


@contextmanager
def twin(image: Gimp.Image, layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """The same layer in a copy of its image, its effects merged into its pixels, for as long as the block lasts."""
    with _copy(image) as copy:
        like = _twin(image, copy, layer)
        if like.get_filters() and not like.merge_filters():
            raise BackendError(INTERNAL, "GIMP could not apply the layer's effects.")
        yield like


@contextmanager
def as_seen(image: Gimp.Image, layer: Gimp.Layer) -> Iterator[Gimp.Layer]:
    """The layer, or one in a copy of its image whose pixels have its effects in them; that may be of another size."""
    if layer.get_filters():
        with twin(image, layer) as like:
            yield like
    else:
        yield layer


def _check_chosen(image: Gimp.Image, layer: Gimp.Layer, chosen: Gimp.Layer | None) -> None:
    if chosen is None or not chosen.is_valid() or chosen.get_image().get_id() != image.get_id():
        raise BackendError(BAD_REQUEST, "No layer was chosen to compare with.", "Choose one of this image's layers.")
    if chosen.get_id() == layer.get_id():
        raise BackendError(BAD_REQUEST, "The layer cannot be compared with itself.", "Choose another layer.")


@contextmanager
def _copy(image: Gimp.Image) -> Iterator[Gimp.Image]:
    """A copy of an image, for as long as the block lasts; its layers are as they were, its canvas is a single pixel.

    Whenever it is left alone for a moment, GIMP goes on rendering its images for a fifteenth of a second, and lets
    questions wait. Nobody looks at this one.
    """
    copy = image.duplicate()
    if copy is None:
        raise BackendError(INTERNAL, "GIMP could not copy the image.")
    try:
        _resize(copy, 1, 1)
        yield copy
    finally:
        copy.delete()


def _resize(copy: Gimp.Image, width: int, height: int) -> None:
    """Gives a copy's canvas another size; the layers stay where they are."""
    if not copy.resize(width, height, 0, 0):
        raise BackendError(INTERNAL, "GIMP could not resize a copy of the image.")


def _path(image: Gimp.Image, item: Gimp.Layer) -> list[int]:
    """An item's position at every level, outermost group first; 0 is the topmost."""
    path = []
    while item is not None:
        path.insert(0, image.get_item_position(item))
        item = item.get_parent()
    return path


def _twin(image: Gimp.Image, copy: Gimp.Image, layer: Gimp.Layer) -> Gimp.Layer:
    """The layer's like in a copy of its image."""
    siblings = copy.get_layers()
    for position in _path(image, layer):
        found = siblings[position]
        siblings = found.get_children() if found.is_group() else []
    return found


def _hide(copy: Gimp.Image, path: list[int], above: bool) -> None:
    """Hides the item at a path and, with `above`, what lies over it at every level."""
    siblings = copy.get_layers()
    for position in path:
        item = siblings[position]
        for hidden in siblings[:position] if above else []:
            hidden.set_visible(False)
        siblings = item.get_children() if item.is_group() else []
    item.set_visible(False)


def _show_only(copy: Gimp.Image, chosen: Gimp.Layer) -> None:
    """Shows one layer as it is by itself, out of its groups, whatever lies around it."""
    if chosen.get_parent() is not None:
        copy.reorder_item(chosen, None, 0)
    for item in copy.get_layers():
        item.set_visible(item.get_id() == chosen.get_id())
    chosen.set_opacity(100.0)
    chosen.set_mode(Gimp.LayerMode.NORMAL)
