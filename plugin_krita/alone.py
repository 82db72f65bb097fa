"""Isolating a layer in a hidden copy, to read what it shows with its masks and contents, and its extent."""

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
    """layer: the copy's layer, whose projection is what it shows.   box: its bounds without transparent margins."""

    layer: Any
    box: Box


@contextmanager
def isolate_layer(document: Any, node: Any) -> Iterator[IsolatedLayer]:
    """Yield the layer in a hidden copy: visible, opaque, unblended and without its style.

    Its parts beyond the canvas are included, because Krita computes all of an added layer.
    """
    with open_hidden_copy(document) as copy:
        frame = copy.createGroupLayer("")
        copy.rootNode().addChildNode(frame, None)
        original = copy.nodeByUniqueID(node.uniqueId())
        # Use duplicates, because a layer that is moved in the list loses its masks. A pass-through group has no pixels
        # of its own, and turning off Pass Through is not enough to create them.
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
    """Make a layer of a hidden copy visible, opaque and unblended. Turn off Pass Through for a group."""
    if is_passing_through(layer):
        layer.setPassThroughMode(False)
    layer.setVisible(True)
    layer.setOpacity(255)
    layer.setBlendingMode("normal")
    layer.setInheritAlpha(False)


def switch_off_style(layer: Any) -> None:
    """Disable a layer's style, because Krita has no call that removes it."""
    style = layer.layerStyleToAsl()
    if style:
        layer.setLayerStyleFromAsl(_MASTER_SWITCH.sub('<node key="masterFXSwitch" value="0" type="Boolean"/>', style))


def is_passing_through(node: Any) -> bool:
    """Return whether a layer is a pass-through group, whose layers are blended with those below the group."""
    return node.type() == "grouplayer" and bool(node.passThroughMode())


def get_box(node: Any) -> Box:
    """Return the bounds of a layer's own pixels: left, top, width, height."""
    bounds = node.bounds()
    return bounds.x(), bounds.y(), bounds.width(), bounds.height()
