"""Layered pictures: choosing the foreground layer, and rendering the picture and the layers below."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gknet.color.encoding import Encoding
from gknet.errors import InputError
from gknet.files.conversion import convert_pixels
from gknet.files.formats import detect_format
from gknet.files.layered import openraster
from gknet.files.layered.blending import CUTTING, blend_over, is_known
from gknet.files.layered.openraster import Node, OpenRaster
from gknet.files.picture import Picture
from gknet.pixels.box import Box

_STRIP = 256


def open_layers(path: Path) -> OpenRaster | None:
    """Return the layered picture in a file; None for any other kind of file.

    Raises PictureError, UnsupportedError, or MissingPackageError if the package for its format is not installed.
    """
    format = detect_format(path)
    if format == "photoshop":
        from gknet.files.layered import photoshop

        return photoshop.read(path)
    return openraster.read(path) if format == "openraster" else None


class Layers:
    """A layered picture with one layer chosen as the foreground.

    name: of that layer; None for the topmost visible one that leaves some of the layers below visible.
    Raises InputError if no layer, or more than one, matches; PictureError or UnsupportedError for damaged pixels.
    """

    def __init__(self, document: OpenRaster, name: str | None) -> None:
        self.document = document
        self._read: dict[Node, Picture] = {}
        self.chosen = self._find_topmost() if name is None else self._find_layer(name)
        self.foreground = self._read_layer(self.chosen)
        """The chosen layer's pixels, with alpha."""
        painter = document.painter
        self.profile = self._find_profile() if painter is None else painter.profile
        """Profile of the whole picture, in which it is rendered: the scene's."""

    @property
    def notes(self) -> list[str]:
        """Differences from the program that made the file, in user-facing words."""
        if self.document.painter is not None:
            return self.document.notes
        unknown = [node for node in self.document.nodes if node.is_visible and not is_known(node.operator)]
        return self.document.notes + [f"the blend mode of {node.name!r} is treated as normal" for node in unknown]

    def merge_below(self) -> np.ndarray:
        """Return the visible picture below the chosen layer, (H, W, 4) float32, in the picture's profile."""
        return self._paint(self.chosen, None)

    def merge(self, harmonized: np.ndarray | None = None) -> Picture:
        """Return the whole picture, with alpha if it is transparent somewhere, in the scene's profile.

        Its depth is that of its deepest layer.
        harmonized: pixels to use instead of the foreground's; the layer is then visible.
        """
        painted = self._paint(None, harmonized)
        depth = max((picture.pixels.dtype for picture in self._read_visible()), key=lambda dtype: dtype.itemsize)
        full = np.iinfo(depth).max
        pixels = np.rint(painted.clip(0, 1) * full).astype(depth)
        channels = [0] if self._is_gray() else [0, 1, 2]
        pixels = pixels[..., channels if pixels[..., 3].min() == full else [*channels, 3]]
        return Picture(pixels=pixels, profile=self.profile, format="png", metadata=self.document.metadata)

    def _read_visible(self) -> list[Picture]:
        """Return the pixels of the visible layers and the chosen one, lowest first."""
        if self.document.painter is not None:  # all layers have the document's depth
            return [self.foreground]
        return [
            self._read_layer(node)
            for node in self.document.nodes
            if node is self.chosen or (node.is_visible and not node.is_group)
        ]

    def _is_gray(self) -> bool:
        """Whether the whole picture is gray."""
        painter = self.document.painter
        return painter.gray if painter is not None else all(one.pixels.shape[2] < 3 for one in self._read_visible())

    def _find_profile(self) -> bytes | None:
        """Return the profile of the lowest visible layer, or of the lowest with colors if some have colors."""
        gray = self._is_gray()
        return next(one.profile for one in self._read_visible() if (one.pixels.shape[2] < 3) == gray)

    def _find_layer(self, name: str) -> Node:
        layers = [node for node in self.document.nodes if not node.is_group]
        matches = [node for node in layers if node.name == name]
        if not matches:
            names = ", ".join(repr(node.name) for node in reversed(layers[-8:]))
            raise InputError(f"Unknown layer {name!r}.", f"Choose one of: {names}{', …' if len(layers) > 8 else ''}.")
        if len(matches) > 1:
            raise InputError(f"{len(matches)} layers are named {name!r}.", "Rename the one to harmonize.")
        return matches[0]

    def _find_topmost(self) -> Node:
        layers = [node for node in self.document.nodes if not node.is_group and node.is_visible]
        for node in reversed(layers[1:]):
            alpha = self._read_layer(node).pixels[..., -1]
            width, height = self.document.size
            around = node.left > 0 or node.top > 0
            around |= node.left + alpha.shape[1] < width or node.top + alpha.shape[0] < height
            if alpha.any() and (around or alpha.min() < np.iinfo(alpha.dtype).max):
                return node
        hint = "Erase the background around the object, or choose the layer with --layer."
        raise InputError(f"{self.document.path} has no visible layer with transparency above another layer.", hint)

    def _read_layer(self, node: Node) -> Picture:
        """Return a layer's pixels, gray or RGB, with alpha."""
        if node not in self._read:
            picture = self.document.read_layer(node)
            pixels = picture.pixels
            if pixels.shape[2] in (1, 3):
                opaque = np.full((*pixels.shape[:2], 1), np.iinfo(pixels.dtype).max, pixels.dtype)
                picture = Picture(pixels=np.concatenate([pixels, opaque], 2), profile=picture.profile)
            self._read[node] = picture
        return self._read[node]

    def _paint(self, until: Node | None, harmonized: np.ndarray | None) -> np.ndarray:
        """Render the picture, or the part drawn before a node, as (H, W, 4) float32 with straight alpha."""
        document = self.document
        instead = {} if harmonized is None else {self.chosen: harmonized}
        if document.painter is not None:
            chosen = None if harmonized is None else (self.chosen.element, harmonized)
            return np.asarray(document.painter.paint(None if until is None else until.element, chosen), np.float32)
        nodes = document.nodes if until is None else document.nodes[: document.nodes.index(until)]
        nothing = np.zeros((document.size[1], document.size[0], 4), np.float32)
        return self._paint_level(nothing, nodes, (), instead)

    def _paint_level(
        self, below: np.ndarray, nodes: list[Node], groups: tuple[Node, ...], instead: dict[Node, np.ndarray]
    ) -> np.ndarray:
        """Return `below` with the members of one group, () for the top level, blended over it."""
        for node in nodes:
            if node.groups != groups or not (node.is_visible or node in instead):
                continue
            if node.is_group:
                within = (*groups, node)
                if not node.is_isolated:
                    below = self._paint_level(below, nodes, within, instead)
                    continue
                above = self._paint_level(np.zeros_like(below), nodes, within, instead)
                below = _blend_layer(below, above, (0, 0), node)
                continue
            picture = self._read_layer(node)
            pixels = instead.get(node, picture.pixels)
            above = convert_pixels(pixels, picture.encoding, Encoding(profile=self.profile), gray=False)
            below = _blend_layer(below, above, (node.left, node.top), node)
        return below


def _blend_layer(below: np.ndarray, above: np.ndarray, at: tuple[int, int], node: Node) -> np.ndarray:
    """Blend a layer over the picture below, which is changed in place, by its operator and opacity."""
    above[..., 3] *= node.opacity
    box = Box(*at, above.shape[1], above.shape[0]).intersect(Box(0, 0, below.shape[1], below.shape[0]))
    if node.operator in CUTTING:
        whole = np.zeros_like(below)
        if box is not None:
            whole[box.top : box.bottom, box.left : box.right] = _crop_layer(above, box, at)
        return blend_over(below, whole, node.operator)
    if box is None:
        return below
    for top in range(box.top, box.bottom, _STRIP):
        strip = box._replace(top=top, height=min(_STRIP, box.bottom - top))
        there = below[strip.top : strip.bottom, strip.left : strip.right]
        there[...] = blend_over(there, _crop_layer(above, strip, at), node.operator)
    return below


def _crop_layer(layer: np.ndarray, box: Box, at: tuple[int, int]) -> np.ndarray:
    """Return the part of a layer at (x, y) that lies in a box of the canvas."""
    return layer[box.top - at[1] : box.bottom - at[1], box.left - at[0] : box.right - at[0]]
