"""Creating harmonized layers and adding them directly above their originals."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from .hidden_copy import create_layer, make_refusal_error, open_hidden_copy
from .pixels import split_stripes, swap_red_and_blue
from .source import Source, list_layers
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

    Each is added above its original, or all in one group and one step, if that looks the same.

    hide: hide the originals, which undo does not revert.
    Raise the errors of `Source.check`, and `internal` if Krita can't add them; the document is unchanged then.
    """
    for result in results:
        result.source.check()
    document = results[0].source.document
    added: list[Any] = []
    if len(results) > 1 and _can_share_group(results):
        top = results[-1].source.node
        places = [(_create_group(document, results), top)]
    else:
        places = [(result.layer, result.source.node) for result in results]
    for layer, below in places:
        if not below.parentNode().addChildNode(layer, below):
            for one in added:
                one.remove()
            raise make_refusal_error()
        added.append(layer)
    if hide:
        for result in results:
            result.source.node.setVisible(False)
        document.refreshProjection()
    return len(added)


def _can_share_group(results: list[Result]) -> bool:
    """Return whether the image looks the same with all results in a group above the topmost original.

    Krita's scripts can't join undo steps, and adding a group with all layers in it is a single one.
    """
    nodes = [result.source.node for result in results]
    ids = [node.uniqueId() for node in nodes]
    siblings = list_layers(nodes[0].parentNode())
    places = [index for index, one in enumerate(siblings) if one.uniqueId() in ids]
    between = [one for one in siblings[min(places) : max(places)] if one.uniqueId() not in ids]
    return (
        len(places) == len(nodes)
        and all(node.blendingMode() == "normal" and node.opacity() == 255 for node in nodes)
        and not any(node.inheritAlpha() for node in nodes)
        and all(not one.visible() or (one.type() == "paintlayer" and one.bounds().isEmpty()) for one in between)
    )


def _create_group(document: Any, results: list[Result]) -> Any:
    """Return a group outside any document with the results in it, lowest first."""
    with open_hidden_copy(document) as copy:  # which takes the undo steps
        group = copy.createGroupLayer(make_result_name(f"{len(results)} layers"))
        copy.rootNode().addChildNode(group, None)
        for result in results:
            if not group.addChildNode(result.layer, None):
                raise make_refusal_error()
        copy.waitForDone()
        return group.duplicate()  # a group that is moved to another document loses its layers
