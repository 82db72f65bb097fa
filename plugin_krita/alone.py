"""A layer by itself in a hidden copy: what it shows with its masks and all that is in it, and how far that reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .hidden_copy import open_hidden_copy
from .thin.preview import Box

_MASTER_SWITCH = re.compile(r'<node\b[^>]*key="masterFXSwitch"[^>]*/>')


@dataclass(frozen=True)
class IsolatedLayer:
    """layer: of the copy; its projection is what the layer shows.   box: what of that isn't transparent."""

    layer: Any
    box: Box


@contextmanager
def isolate_layer(document: Any, node: Any) -> Iterator[IsolatedLayer]:
    """The layer visible, opaque, unblended and without its style.

    It reaches beyond the canvas where the layer does: Krita computes all of a layer that is added.
    """
    with open_hidden_copy(document) as copy:
        frame = copy.createGroupLayer("")
        copy.rootNode().addChildNode(frame, None)
        original = copy.nodeByUniqueID(node.uniqueId())
        # Duplicates, as a layer that is moved to another place in the list loses its masks. A group that passes through
        # has no picture of its own, and gets none where only its switch is turned.
        layer = copy.createGroupLayer("") if is_passing_through(original) else original.duplicate()
        show_plainly(layer)
        switch_off_style(layer)
        frame.addChildNode(layer, None)
        if is_passing_through(original):
            for child in original.childNodes():
                layer.addChildNode(child.duplicate(), None)
        copy.waitForDone()
        yield IsolatedLayer(layer, get_box(frame))


def show_plainly(layer: Any) -> None:
    """Make a layer of a hidden copy visible, opaque and unblended; a group is composed by itself."""
    if is_passing_through(layer):
        layer.setPassThroughMode(False)
    layer.setVisible(True)
    layer.setOpacity(255)
    layer.setBlendingMode("normal")
    layer.setInheritAlpha(False)


def switch_off_style(layer: Any) -> None:
    """Take the effect of a layer's style away; Krita has no call that removes it."""
    style = layer.layerStyleToAsl()
    if style:
        layer.setLayerStyleFromAsl(_MASTER_SWITCH.sub('<node key="masterFXSwitch" value="0" type="Boolean"/>', style))


def is_passing_through(node: Any) -> bool:
    """Whether a layer is a group whose layers are blended with what lies below the group."""
    return node.type() == "grouplayer" and bool(node.passThroughMode())


def get_box(node: Any) -> Box:
    """A layer's own pixels: left, top, width, height."""
    bounds = node.bounds()
    return bounds.x(), bounds.y(), bounds.width(), bounds.height()
