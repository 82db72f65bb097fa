"""Rendering small pictures of what is below a layer and of the layer itself, in a hidden copy of the document.

The user's own layers are never hidden, and the undo history and "modified" state don't change.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .alone import show_plainly, switch_off_style
from .pixels import split_stripes
from .qt import QtCore, QtGui
from .source import list_layers
from .thin.choices import BELOW
from .thin.preview import Box

Picture = Generator[float, None, "QtGui.QImage"]
"""Work in short steps: yields its progress 0..1 and returns RGBA8888, straight alpha, encoded sRGB."""

_STRIPE_PIXELS = 2**19


class View:
    """A view of a hidden copy in which layers can be hidden.   copy: the document of `open_hidden_copy`."""

    def __init__(self, copy: Any) -> None:
        self._document = copy

    def show_without(self, node: Any, compare: str) -> None:
        """Show what is visible below a layer of the original (`below`), or everything except the layer (`image`)."""
        path = self._find_path(node)
        if compare == BELOW:
            for level in path:
                for above in _list_layers_above(level):
                    above.setVisible(False)
        path[0].setVisible(False)
        if len(list_layers(path[0].parentNode())) == 2:
            path[0].remove()  # Krita shows the only layer of a group at once, without compositing
        self._refresh()

    def show_alone(self, node: Any) -> None:
        """Show one layer of the original, fully opaque, whether it is visible or not."""
        self._hide_others(self._find_path(node))
        self._refresh()

    def show_object(self, node: Any) -> None:
        """Show one layer as `show_alone` does, but without layer styles, which aren't harmonized."""
        path = self._find_path(node)
        for level in path:
            switch_off_style(level)
        self._hide_others(path)
        self._refresh()

    def render_picture(self, box: Box, size: tuple[int, int]) -> Picture:
        """Render a box at another size (width, height) that is not larger than the box."""
        left, top, width, height = box
        across, down = size
        picture = QtGui.QImage(across, down, QtGui.QImage.Format.Format_RGBA8888)
        picture.fill(0)
        painter = QtGui.QPainter(picture)
        painter.setCompositionMode(QtGui.QPainter.CompositionMode.CompositionMode_Source)
        try:
            for first, rows in split_stripes(down, -(-width * height // down), _STRIPE_PIXELS):
                # Each stripe is scaled separately; its edges are off by at most half a document pixel.
                start, end = (round(row * height / down) for row in (first, first + rows))
                part = self._document.projection(left, top + start, width, end - start)
                painter.drawImage(0, first, scale_picture(part, across, rows))
                yield (first + rows) / down
        finally:
            painter.end()
        return picture

    def _hide_others(self, path: list[Any]) -> None:
        for level in path:
            for other in list_layers(level.parentNode()):
                other.setVisible(_is_same_layer(other, level))
            show_plainly(level)

    def _find_twin(self, node: Any) -> Any:
        return self._document.nodeByUniqueID(node.uniqueId())

    def _find_path(self, node: Any) -> list[Any]:
        """Return the copy's layer and its groups, innermost first."""
        path, one = [], self._find_twin(node)
        while one is not None and one.parentNode() is not None:
            path.append(one)
            one = one.parentNode()
        return path

    def _refresh(self) -> None:
        self._document.refreshProjection()
        self._document.waitForDone()


def scale_picture(picture: QtGui.QImage, width: int, height: int) -> QtGui.QImage:
    """Return a picture scaled down: means of the merged pixels, in which transparent ones have no weight."""
    if (picture.width(), picture.height()) == (width, height):
        return picture
    return picture.scaled(
        width,
        height,
        QtCore.Qt.AspectRatioMode.IgnoreAspectRatio,
        QtCore.Qt.TransformationMode.SmoothTransformation,
    )


def get_pixels(picture: QtGui.QImage) -> bytes:
    """Return the picture's bytes: RGBA, straight alpha, rows without padding."""
    straight = picture.convertToFormat(QtGui.QImage.Format.Format_RGBA8888)
    return bytes(straight.constBits().asstring(straight.width() * straight.height() * 4))


def _is_same_layer(one: Any, other: Any) -> bool:
    return bool(one.uniqueId() == other.uniqueId())


def _list_layers_above(node: Any) -> list[Any]:
    """Return the layers above in the same group, but not the group's masks, which also apply to the layers below."""
    siblings = list_layers(node.parentNode())
    place = next(index for index, one in enumerate(siblings) if _is_same_layer(one, node))
    return siblings[place + 1 :]
