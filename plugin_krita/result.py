"""Creating harmonized layers and adding them directly above their originals."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from .hidden_copy import create_layer, make_refusal_error, open_hidden_copy
from .pixels import split_stripes, swap_red_and_blue
from .source import Source
from .thin.choices import make_result_name


@dataclass(frozen=True)
class Result:
    """layer: a finished layer that is in no document yet.   source: its original."""

    source: Source
    layer: Any


def create_result_layer(source: Source, pixels: bytearray) -> Generator[float, None, Any]:
    """Return a layer with these pixels outside any document, with the source's position, opacity, blending and style.

    Work in short steps: yields its progress 0..1.   pixels: in the format of `source.describe_layer()`; emptied.
    Raise ThinError (`internal`) if Krita can't create it.
    """
    left, top, width, height = source.box
    colors, row_bytes = source.colors, width * source.colors.pixel_bytes
    layer = create_layer(
        source.document, make_result_name(source.node.name()), colors.own_space, source.node.blendingMode()
    )
    layer.setOpacity(source.node.opacity())
    layer.setInheritAlpha(source.node.inheritAlpha())
    if style := source.node.layerStyleToAsl():  # not part of the layer's pixels: Krita draws it around them
        layer.setLayerStyleFromAsl(style)
    with open_hidden_copy(source.document) if colors.is_converted else nullcontext() as copy:
        # From the bottom up, so that written pixels can be cut off to free their memory for the layer.
        for first, rows in reversed(list(split_stripes(height, row_bytes))):
            stripe: bytes | bytearray = pixels[first * row_bytes :]
            del pixels[first * row_bytes :]
            if copy is not None:
                stripe = colors.convert_to_krita(copy, stripe, width, rows)
            elif colors.is_blue_first:
                stripe = swap_red_and_blue(stripe, colors.sent_depth)
            if layer.setPixelData(stripe, left, top + first, width, rows) is False:  # Krita 5.2 always returns None
                raise make_refusal_error()
            yield 1 - first / height
    return layer


def place_results(copy: Any, results: list[Result], hide: bool) -> None:
    """Add results to a hidden copy of their document, each above its original.   hide: hide the originals."""
    for result in results:
        twin = copy.nodeByUniqueID(result.source.node.uniqueId())
        twin.parentNode().addChildNode(result.layer.duplicate(), twin)
        if hide:
            twin.setVisible(False)
    if results:
        copy.waitForDone()


def add_results(results: list[Result], hide: bool) -> int:
    """Add the finished layers to their document and return the number of undo steps.

    hide: hide the originals, which undo does not revert.
    Raise the errors of `Source.check`, and `internal` if Krita can't add them; the document is unchanged then.
    """
    for result in results:
        result.source.check()
    added: list[Any] = []
    for result in results:
        node = result.source.node
        if not node.parentNode().addChildNode(result.layer, node):
            for layer in added:
                layer.remove()
            raise make_refusal_error()
        added.append(result.layer)
    if hide:
        for result in results:
            result.source.node.setVisible(False)
        results[0].source.document.refreshProjection()
    return len(added)
