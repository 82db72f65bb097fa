"""Hidden copies of a document, for changes that must not affect its undo history or "modified" state.

Krita adds undo steps to the document from which a layer was obtained, even if the layer is in no document yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .thin.protocol import INTERNAL, ThinError


@contextmanager
def open_hidden_copy(document: Any) -> Iterator[Any]:
    """Yield a copy that exists during the block. It shares unchanged pixels with the original."""
    copy = document.clone()
    try:
        yield copy
    finally:
        copy.close()


def create_layer(document: Any, name: str, space: tuple[str, str, str], blending: str) -> Any:
    """Return a new paint layer outside any document, with a colour space (model, depth, profile) and blending mode.

    It is changed in a hidden copy, so that the undo steps go there. Raise ThinError (`internal`) if Krita rejects the
    colour space.
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
    """Return the error for a call of Krita that has reported failure by its result."""
    return ThinError(
        INTERNAL,
        "Krita could not make the new layer.",
        "Nothing was changed. Save the picture, restart Krita and try again.",
    )
