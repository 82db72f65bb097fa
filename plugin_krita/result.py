"""The harmonized layer, put directly above the one it was made from: one step for Krita's undo."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .pixels import stripes, swap_red_and_blue
from .source import Source
from .thin.choices import result_name


def result_layer(source: Source, pixels: bytearray) -> Generator[float, None, Any]:
    """A layer with these pixels that is in no document yet: the source's place, opacity and blending mode.

    Work in short pieces: yields how far it is, 0..1. `pixels` are those of `source.described()`, and lost.
    Raises what `Source.check` does.
    """
    left, top, width, height = source.box
    colors, row_bytes = source.colors, width * source.colors.pixel_bytes
    source.check()
    layer = source.document.createNode(result_name(source.node.name()), "paintlayer")
    layer.setColorSpace(colors.model, colors.depth, colors.profile)
    layer.setOpacity(source.node.opacity())
    layer.setBlendingMode(source.node.blendingMode())
    layer.setInheritAlpha(source.node.inheritAlpha())
    view = memoryview(pixels)
    for first, rows in stripes(height, row_bytes):
        source.check()
        data = view[first * row_bytes : (first + rows) * row_bytes]
        if colors.converted:
            stripe: Any = colors.into_krita(source.document, bytes(data), width, rows)
        else:
            stripe = bytearray(data)
            stripe = swap_red_and_blue(stripe, colors.sent_depth) if colors.swapped else stripe
        layer.setPixelData(bytes(stripe), left, top + first, width, rows)
        yield (first + rows) / height
    return layer


def add_above(source: Source, layer: Any, hide: bool) -> None:
    """Put the finished layer into the document; hide: the original then disappears, which undo does not take back.

    Raises what `Source.check` does; the document is as it was then.
    """
    source.check()
    source.node.parentNode().addChildNode(layer, source.node)
    if hide:
        source.node.setVisible(False)
        source.document.refreshProjection()
