"""A document's copy that nobody sees: what is tried out there reaches neither the original's undo nor its "modified".

Krita writes an undo step for the document that a layer was asked by, even where the layer is in no document yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .thin.protocol import INTERNAL, ThinError


@contextmanager
def open_hidden_copy(document: Any) -> Iterator[Any]:
    """The copy; it shares its pixels with the original, and takes memory for what is changed only."""
    copy = document.clone()
    try:
        yield copy
    finally:
        copy.close()


def create_layer(document: Any, name: str, space: tuple[str, str, str], blending: str) -> Any:
    """A new paint layer, in no document yet, of a color space (model, depth, profile) and blending mode.

    As long as it is in the copy, it is the copy's undo that learns of its changes. Raises ThinError (`internal`) if
    Krita refuses one.
    """
    layer = document.createNode(name, "paintlayer")
    if (layer.colorModel(), layer.colorDepth(), layer.colorProfile(), layer.blendingMode()) == (*space, blending):
        return layer
    with open_hidden_copy(document) as copy:
        copy.rootNode().addChildNode(layer, None)
        copy.waitForDone()
        there = copy.nodeByUniqueID(layer.uniqueId())
        if not there.setColorSpace(*space):
            raise make_refusal_error()
        there.setBlendingMode(blending)
        copy.waitForDone()
        there.remove()
        copy.waitForDone()
    return layer


def make_refusal_error() -> ThinError:
    """For a call of Krita's that tells of failure by what it returns."""
    return ThinError(
        INTERNAL,
        "Krita could not make the new layer.",
        "Nothing was changed. Save the picture, restart Krita and try again.",
    )
