"""The layer to harmonize: its type, position and pixels, read in stripes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from krita import Krita

from .alone import get_box, is_passing_through, isolate_layer
from .colors import Colors, get_colors
from .hidden_copy import open_hidden_copy
from .pixels import split_stripes, swap_red_and_blue
from .qt import QtCore
from .thin.choices import format_left_out
from .thin.preview import Box
from .thin.protocol import BAD_REQUEST, CANCELLED, NO_FOREGROUND, UNSUPPORTED, ThinError

_WITHOUT_PIXELS = ("filterlayer", "adjustmentlayer")
_BAND = 32
"""Width in pixels of the band around a box that is checked for further pixels of a layer."""

ONE_FRAME = "The layer is animated: only this frame is harmonized, and the new layer shows it in all frames."

Stripes = Generator[float, None, bytearray]
"""Work in short steps: yields its progress 0..1 and returns pixels."""


@dataclass(frozen=True)
class Source:
    """A layer of an open document.

    box: left, top, width, height in document pixels; may reach beyond the canvas.
    is_projected: whether to read what the layer shows, with its masks and contents, instead of its own pixels.
    is_composed: whether that must be composed in a hidden copy, because the document doesn't contain it.
    """

    document: Any
    node: Any
    box: Box
    colors: Colors
    is_projected: bool
    is_composed: bool

    @property
    def opacity(self) -> float:
        """The layer's opacity, 0..1."""
        return self.node.opacity() / 255

    def describe_layer(self) -> dict[str, Any]:
        """Return the protocol's `layer` map."""
        left, top, width, height = self.box
        kind = {"channels": self.colors.channels, "depth": self.colors.sent_depth, "space": self.colors.space}
        return {"width": width, "height": height, "x": left, "y": top, "opacity": self.opacity, **kind}

    def check(self) -> None:
        """Raise ThinError if the document was closed (`cancelled`) or the layer was removed (`bad_request`)."""
        # While a picture is being closed, Krita still lists it, and lets timers run, but it has no size any more.
        if self.document not in Krita.instance().documents() or self.document.width() == 0:
            raise ThinError(CANCELLED, "The picture was closed.")
        if self.document.nodeByUniqueID(self.node.uniqueId()) is None:
            raise ThinError(BAD_REQUEST, "The layer was removed meanwhile.", "Nothing was changed.")

    def read_pixels(self) -> Stripes:
        """Return the layer's pixels as sent, with the alpha of what is read (see `is_projected`).

        Raise ThinError (`unsupported`) if Krita returns no pixels, or MemoryError.
        """
        left, top, width, height = self.box
        row_bytes = width * self.colors.pixel_bytes
        pixels = bytearray()  # allocating the full size would fill it with zeros and block the interface
        with ExitStack() as copies:
            copy = copies.enter_context(open_hidden_copy(self.document)) if self.colors.is_converted else None
            node = (
                copies.enter_context(isolate_layer(self.document, self.node)).layer if self.is_composed else self.node
            )
            for first, rows in split_stripes(height, row_bytes):
                pixels += self._read_stripe(node, copy, (left, top + first, width, rows))
                yield (first + rows) / height
        return pixels

    @property
    def notes(self) -> list[str]:
        """Sentences to show to the user about the result."""
        return [ONE_FRAME] if any(one.animated() for one in _list_visible(self.node)) else []

    def read_selection(self) -> bytes | None:
        """Return the selection in the layer's box, one byte per pixel, or None if there is none."""
        selection = self.document.selection()
        return None if selection is None else bytes(selection.pixelData(*self.box))

    def _read_stripe(self, node: Any, copy: Any, box: Box) -> bytes | bytearray:
        read = node.projectionPixelData if self.is_projected else node.pixelData
        data: bytes = read(*box).data()
        width, rows = box[2:]
        if len(data) != width * rows * self.colors.own_pixel_bytes:
            raise ThinError(
                UNSUPPORTED,
                "Krita does not provide the pixels of this layer.",
                "Convert it to a paint layer and try again.",
            )
        if self.colors.is_converted:
            return self.colors.convert_from_krita(copy, data, width, rows)
        return swap_red_and_blue(data, self.colors.sent_depth) if self.colors.is_blue_first else data


@dataclass(frozen=True)
class Sources:
    """The layers to harmonize, at least one.

    layers: lowest first.   left_out: a sentence on each other selected layer, which can't be harmonized.
    """

    layers: list[Source]
    left_out: list[str]

    @property
    def topmost(self) -> Source:
        """The layer that is previewed."""
        return self.layers[-1]

    def check(self) -> None:
        """Raise the errors of `Source.check` of any layer."""
        for layer in self.layers:
            layer.check()


def read_sources(document: Any, selected: list[Any]) -> Sources:
    """Return the selected layers, or the active one if no others are selected.

    selected: nodes of the document; masks stand for their layers, and layers in a selected group belong to the group.
    Raise ThinError if none can be harmonized: `bad_request`, `unsupported`, `no_foreground`.
    """
    nodes = _list_selected_layers(document, selected) if document is not None else []
    if len(nodes) < 2:
        return Sources([read_source(document, nodes[0] if nodes else None)], [])
    layers, left_out = [], []
    for node in nodes:
        try:
            layers.append(read_source(document, node))
        except ThinError as error:
            left_out.append(format_left_out(node.name(), error))
    if not layers:
        raise make_none_left_error(left_out)
    return Sources(layers, left_out)


def make_none_left_error(left_out: list[str]) -> ThinError:
    """Return the error for several layers of which none can be harmonized.   left_out: a sentence on each."""
    return ThinError(UNSUPPORTED, "None of the selected layers can be harmonized.", "\n".join(left_out))


def _list_selected_layers(document: Any, selected: list[Any]) -> list[Any]:
    """Return the selected layers, lowest first; only the active one if it is not among them."""
    active = _find_layer(document.activeNode())
    if active is None:
        return []
    chosen = {layer.uniqueId().toString() for layer in map(_find_layer, selected) if layer is not None}
    if active.uniqueId().toString() not in chosen:
        return [active]

    def search(group: Any) -> Iterator[Any]:
        for layer in list_layers(group):
            if layer.uniqueId().toString() in chosen:
                yield layer
            else:
                yield from search(layer)

    return list(search(document.rootNode()))


def _find_layer(node: Any) -> Any | None:
    """Return a node's layer: itself, or that of a mask; None for the root."""
    while node is not None and is_mask(node):
        node = node.parentNode()
    return None if node is None or node.parentNode() is None else node


def read_source(document: Any, node: Any) -> Source:
    """Return a layer of a document.

    Raise ThinError if it is None or can't be harmonized: `bad_request`, `unsupported`, `no_foreground`.
    """
    if node is None:
        raise ThinError(BAD_REQUEST, "No layer is selected.", "Open an image and select the layer to harmonize.")
    if node.type() in _WITHOUT_PIXELS:
        raise ThinError(
            UNSUPPORTED, "A filter layer has no pixels of its own.", "Select a paint, group, vector or clone layer."
        )
    _check_groups(node)
    document.waitForDone()  # strokes that are still being painted
    masks = [child for child in node.childNodes() if is_mask(child) and child.visible()]
    projected = node.type() != "paintlayer" or bool(masks)
    composed = is_passing_through(node) or (bool(masks) and not _is_shown(node))
    colors = get_colors(document, node)
    if composed:
        with isolate_layer(document, node) as found:
            box = found.box
    else:
        box = get_box(node)
        for mask in masks:
            if mask.type() == "transformmask":
                box = _transform_box(document, box, mask)
        if projected:
            box = _grow_box(document, node, box, colors)
    if box[2] <= 0 or box[3] <= 0:
        raise ThinError(NO_FOREGROUND, "The layer is empty.", "Select a layer that is not empty.")
    return Source(document, node, box, colors, projected, composed)


def is_mask(node: Any) -> bool:
    """Return whether a node is a mask instead of a layer."""
    return str(node.type()).endswith("mask")


def list_layers(group: Any) -> list[Any]:
    """Return a group's layers, lowest first, without the group's own masks."""
    return [one for one in group.childNodes() if not is_mask(one)]


def check_source_between_steps(source: Source | Sources, work: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
    """Run another generator; call `Source.check` before each step and after a failed one. Its errors stop the work."""
    try:
        while True:
            source.check()
            yield next(work)
    except StopIteration as stopped:
        return stopped.value
    except Exception:
        source.check()  # the cause, if the picture was closed or the layer removed during the step
        raise
    finally:
        work.close()


def _check_groups(node: Any) -> None:
    """Raise ThinError (`unsupported`) if the result can't look like the layer or can't be added next to it."""
    if is_passing_through(node) and any(map(_is_blended, _list_visible(node)[1:])):
        raise ThinError(
            UNSUPPORTED,
            f"The group “{node.name()}” passes through, and layers in it are blended with the picture below.",
            "Turn off Pass Through for the group, check that the image still looks right, and try again.",
        )
    group = node.parentNode()
    while group is not None and group.parentNode() is not None:
        if group.locked():
            raise ThinError(
                UNSUPPORTED,
                f"The layer is in the locked group “{group.name()}”, to which no layer can be added.",
                "Unlock the group in the Layers docker and try again.",
            )
        group = group.parentNode()


def _list_visible(node: Any) -> list[Any]:
    """Return a layer and its visible descendants, without masks."""
    return [
        node,
        *(one for child in list_layers(node) if child.visible() for one in _list_visible(child)),
    ]


def _is_blended(node: Any) -> bool:
    return node.type() in _WITHOUT_PIXELS or node.blendingMode() not in ("normal", "pass through")


def _is_shown(node: Any) -> bool:
    """Return whether a layer and its groups are visible. Otherwise Krita doesn't update the effect of its masks."""
    while node is not None and node.parentNode() is not None:
        if not node.visible():
            return False
        node = node.parentNode()
    return True


def _transform_box(document: Any, box: Box, mask: Any) -> Box:
    """Return a box after a transform mask. For a warp, include the whole canvas, because its extent is unknown."""
    rect, width, height = QtCore.QRect(*box), document.width(), document.height()
    if "free_transform" in mask.toXML():
        rect = mask.finalAffineTransform().mapRect(QtCore.QRectF(rect)).toAlignedRect()
        rect = rect.intersected(
            QtCore.QRect(-width, -height, 3 * width, 3 * height)
        )  # Krita computes at most this area
    elif "tooltransformparams" in mask.toXML():
        rect = rect.united(QtCore.QRect(0, 0, width, height))
    return rect.x(), rect.y(), rect.width(), rect.height()


def _grow_box(document: Any, node: Any, box: Box, colors: Colors) -> Box:
    """Return the box, enlarged within the canvas while the layer has pixels next to it, such as from a blur mask.

    Read what Krita already shows, because composing it again takes seconds for a large layer.
    """
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    while left < right and top < bottom:
        up, down = min(top, max(0, top - _BAND)), max(bottom, min(document.height(), bottom + _BAND))
        before, after = min(left, max(0, left - _BAND)), max(right, min(document.width(), right + _BAND))
        wider = (
            before if _has_pixels(node, (before, top, left - before, bottom - top), colors) else left,
            up if _has_pixels(node, (left, up, right - left, top - up), colors) else top,
            after if _has_pixels(node, (right, top, after - right, bottom - top), colors) else right,
            down if _has_pixels(node, (left, bottom, right - left, down - bottom), colors) else bottom,
        )
        if wider == (left, top, right, bottom):
            break
        left, top, right, bottom = wider
    return left, top, right - left, bottom - top


def _has_pixels(node: Any, box: Box, colors: Colors) -> bool:
    """Return whether a layer's projection has pixels in a box that are not transparent."""
    if box[2] <= 0 or box[3] <= 0:
        return False
    data: bytes = node.projectionPixelData(*box).data()
    pixel, alpha = colors.own_pixel_bytes, colors.own_pixel_bytes // colors.channels
    return any(data[byte::pixel].strip(b"\0") for byte in range(pixel - alpha, pixel))
