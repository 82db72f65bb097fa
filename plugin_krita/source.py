"""The layer that is to be harmonized: what it is, where it is, and its pixels stripe by stripe."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from krita import Krita

from .colors import Colors, colors_of
from .hidden_copy import hidden_copy
from .pixels import stripes, swap_red_and_blue
from .thin.protocol import BAD_REQUEST, CANCELLED, NO_FOREGROUND, UNSUPPORTED, BackendError

_WITHOUT_PIXELS = ("filterlayer", "adjustmentlayer")

Stripes = Generator[float, None, bytearray]
"""Work in short pieces: yields how far it is, 0..1, and returns pixels."""


@dataclass(frozen=True)
class Source:
    """A layer of an open document.

    box: left, top, width, height in document pixels; may reach beyond the canvas.
    projected: whether its pixels are what it shows, with its masks and all that is in it, rather than its own.
    """

    document: Any
    node: Any
    box: tuple[int, int, int, int]
    colors: Colors
    projected: bool

    @property
    def opacity(self) -> float:
        return self.node.opacity() / 255

    def described(self) -> dict[str, Any]:
        """The protocol's `layer` map."""
        left, top, width, height = self.box
        kind = {"channels": self.colors.channels, "depth": self.colors.sent_depth, "space": self.colors.space}
        return {"width": width, "height": height, "x": left, "y": top, "opacity": self.opacity, **kind}

    def check(self) -> None:
        """Raises BackendError if the document was closed (`cancelled`) or the layer was removed (`bad_request`)."""
        if self.document not in Krita.instance().documents():
            raise BackendError(CANCELLED, "The picture was closed.")
        if self.document.nodeByUniqueID(self.node.uniqueId()) is None:
            raise BackendError(BAD_REQUEST, "The layer was removed meanwhile.", "Nothing was changed.")

    def pixels(self) -> Stripes:
        """The layer's pixels as they are sent; alpha is that of what is read, see `projected`.

        Raises what `check` does, `unsupported` where Krita gives no pixels, and MemoryError.
        """
        left, top, width, height = self.box
        row_bytes = width * self.colors.pixel_bytes
        pixels = bytearray()  # one of the full size would be written with zeros first, the interface dead meanwhile
        with hidden_copy(self.document) if self.colors.converted else nullcontext() as copy:
            for first, rows in stripes(height, row_bytes):
                self.check()
                pixels += self._stripe(copy, left, top + first, width, rows)
                yield (first + rows) / height
        return pixels

    def selection(self) -> bytes | None:
        """One byte a pixel of the layer's box, None where nothing is selected."""
        selection = self.document.selection()
        return None if selection is None else bytes(selection.pixelData(*self.box))

    def _stripe(self, copy: Any, left: int, top: int, width: int, rows: int) -> bytes | bytearray:
        read = self.node.projectionPixelData if self.projected else self.node.pixelData
        data: bytes = read(left, top, width, rows).data()
        if len(data) != width * rows * self.colors.own_pixel_bytes:
            raise BackendError(UNSUPPORTED, "Krita does not give this layer's pixels.", "Try a paint layer.")
        if self.colors.converted:
            return self.colors.out_of_krita(copy, data, width, rows)
        return swap_red_and_blue(data, self.colors.sent_depth) if self.colors.swapped else data


def active_source(document: Any) -> Source:
    """The document's active layer; of a mask, the layer that it belongs to.

    Raises BackendError where there is none that can be harmonized: `bad_request`, `unsupported`, `no_foreground`.
    """
    node = document.activeNode() if document is not None else None
    while node is not None and is_mask(node):
        node = node.parentNode()
    if node is None or node.parentNode() is None:
        raise BackendError(BAD_REQUEST, "No layer is chosen.", "Open a picture and choose the layer to be harmonized.")
    if node.type() in _WITHOUT_PIXELS:
        raise BackendError(
            UNSUPPORTED, "A filter layer has no pixels of its own.", "Choose a paint, group, vector or clone layer."
        )
    document.waitForDone()  # strokes that are still being painted
    bounds = node.bounds()
    if bounds.isEmpty():
        raise BackendError(NO_FOREGROUND, "The layer is empty.", "Choose a layer with something on it.")
    masked = any(is_mask(child) and child.visible() for child in node.childNodes())
    box = (bounds.x(), bounds.y(), bounds.width(), bounds.height())
    return Source(document, node, box, colors_of(document, node), node.type() != "paintlayer" or masked)


def is_mask(node: Any) -> bool:
    """Whether a node is a mask of a layer rather than a layer."""
    return str(node.type()).endswith("mask")
