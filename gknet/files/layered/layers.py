"""Layered pictures: choosing the foreground layer, and rendering the picture and the layers below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gknet.color.encoding import Encoding
from gknet.errors import InputError
from gknet.files.conversion import convert_pixels
from gknet.files.formats import detect_format
from gknet.files.layered import openraster
from gknet.files.layered.blending import CUTTING, blend_over, is_known
from gknet.files.layered.openraster import Node, OpenRaster
from gknet.files.picture import Picture
from gknet.pixels.box import Box, bounding_box, enclose, outside_error

_STRIP_PIXELS = 1 << 20
"""Pixels that are blended at once: about 200 MB of floats."""


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
    Raises InputError if no layer or several match, or if the layer has no opacity or is in a group that is not shown;
    NoForegroundError if it is outside the canvas (without a name only); PictureError if the file is damaged or its
    layers are too large; UnsupportedError.
    """

    def __init__(self, document: OpenRaster, name: str | None) -> None:
        self.document = document
        self._shown_pictures: dict[Node, Picture] = {}
        self._notes: dict[Node, Sequence[str]] = {}
        node = None if name is None else self._find_layer(name)
        document.check_layers(node)
        self.chosen, self.foreground = self._read_topmost() if node is None else (node, self._read_and_crop(node))
        """The chosen layer, and its pixels with alpha."""
        painter = document.painter
        self.profile = self._find_profile() if painter is None else painter.profile
        """Profile of the whole picture, in which it is rendered: the scene's."""

    @property
    def notes(self) -> list[str]:
        """Differences from the program that made the file, in user-facing words; those on layers read so far."""
        if self.document.painter is not None:
            return self.document.notes
        unknown = [node for node in self.document.nodes if node.is_visible and not is_known(node.operator)]
        blending = [f"the blend mode of {node.name!r} is treated as normal" for node in unknown]
        reading = [f"{node.name!r}: {note}" for node in self.document.nodes for note in self._notes.get(node, ())]
        return [*self.document.notes, *blending, *reading]

    def merge_below(self) -> np.ndarray:
        """Return the visible picture below the chosen layer, in the picture's profile.

        (H, W, 3) uint16, or (H, W, 4) with straight alpha if it is transparent somewhere.
        """
        return _drop_opaque_alpha(self._paint(self.chosen, None, np.uint16))

    def merge(self, harmonized: np.ndarray | None = None) -> Picture:
        """Return the whole picture, with alpha if it is transparent somewhere, in the scene's profile.

        Its depth is that of its deepest layer.
        harmonized: pixels to use instead of the foreground's; the layer is then visible.
        """
        deepest = max((picture.pixels.dtype for picture in self._read_visible()), key=lambda dtype: dtype.itemsize)
        pixels = _drop_opaque_alpha(self._paint(None, harmonized, deepest))
        if self._is_gray():
            pixels = pixels[..., [0, 3][: pixels.shape[2] - 2]]
        return Picture(pixels=pixels, profile=self.profile, format="png", metadata=self.document.metadata)

    def _read_visible(self) -> list[Picture]:
        """Return the pixels of the visible layers and the chosen one, lowest first."""
        if self.document.painter is not None:  # all layers have the document's depth
            return [self.foreground]
        layers = [node for node in self.document.nodes if not node.is_group]
        return [self._get_shown(node) for node in layers if node is self.chosen or node.is_visible]

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
        (node,) = matches
        _check_shown(node)
        return node

    def _read_topmost(self) -> tuple[Node, Picture]:
        layers = [node for node in self.document.nodes if not node.is_group and node.is_visible]
        outside: Node | None = None
        for node in reversed(layers[1:]):
            if not node.is_visible_with_opacity:
                continue
            picture = self._read_and_crop(node)
            shown = self._get_shown(node).pixels
            covers_canvas = (shown.shape[1], shown.shape[0]) == self.document.size
            if shown.size and not (covers_canvas and shown[..., -1].min() == np.iinfo(shown.dtype).max):
                return node, picture
            if not shown.size and picture.pixels[..., -1].any():
                outside = outside or node
        if outside is not None:
            raise outside_error(f"The layer {outside.name!r}")
        if not layers[1:]:
            hint = "Add the background below the object, or export a cut-out as PNG, and pass it with --foreground."
            raise InputError(f"{self.document.path} has fewer than two visible layers.", hint)
        hint = "Erase the background around the object, or choose the layer with --layer."
        raise InputError(f"{self.document.path} has no visible layer with transparency above another layer.", hint)

    def _get_shown(self, node: Node) -> Picture:
        """Return the part of a layer that is on the canvas and not transparent, gray or RGB, with alpha.

        Its position is that on the canvas. It may have no pixels.
        """
        if node not in self._shown_pictures:
            self._read_and_crop(node)
        return self._shown_pictures[node]

    def _read_and_crop(self, node: Node) -> Picture:
        """Return all of a layer, gray or RGB, with alpha; keep the part that `_get_shown` returns."""
        picture = self.document.read_layer(node)
        pixels = picture.pixels
        if pixels.shape[2] in (1, 3):
            opaque = np.full((*pixels.shape[:2], 1), np.iinfo(pixels.dtype).max, pixels.dtype)
            pixels = np.concatenate([pixels, opaque], 2)
        picture = replace(picture, pixels=pixels)
        box = self._find_shown(pixels, node)
        shown = _crop_layer(pixels, box, (node.left, node.top))
        shown = shown if shown.shape == pixels.shape else shown.copy()  # lets go of the rest
        self._shown_pictures[node] = replace(picture, pixels=shown, position=(box.left, box.top))
        self._notes[node] = picture.notes
        return picture

    def _find_shown(self, pixels: np.ndarray, node: Node) -> Box:
        """Return the box on the canvas around what a layer shows, without width and height if it shows nothing."""
        box = Box(node.left, node.top, pixels.shape[1], pixels.shape[0]).intersect(Box(0, 0, *self.document.size))
        if box is not None:
            alpha = _crop_layer(pixels[..., -1], box, (node.left, node.top))
            if alpha.any():
                return bounding_box(alpha).shift(box.left, box.top)
        return Box(node.left, node.top, 0, 0)

    def _paint(self, until: Node | None, harmonized: np.ndarray | None, dtype: npt.DTypeLike) -> np.ndarray:
        """Render the picture, or the part drawn before a node, as (H, W, 4) of an integer type with straight alpha.

        OpenRaster layers are blended in strips to save memory. A painter renders everything at once.
        """
        document = self.document
        result = np.zeros((document.size[1], document.size[0], 4), dtype)
        if document.painter is not None:
            chosen = None if harmonized is None else (self.chosen.element, harmonized)
            painted, (left, top) = document.painter.paint(None if until is None else until.element, chosen)
            for strip in Box(left, top, painted.shape[1], painted.shape[0]).cut_into_strips(_STRIP_PIXELS):
                _store(result, strip, np.asarray(_crop_layer(painted, strip, (left, top)), np.float32))
            return result
        instead = {}
        if harmonized is not None:
            position = (self.chosen.left, self.chosen.top)
            instead[self.chosen] = replace(self.foreground, pixels=harmonized, position=position)
        nodes = document.nodes if until is None else document.nodes[: document.nodes.index(until)]
        layers = [node for node in nodes if not node.is_group and (node.is_visible or node in instead)]
        drawn = enclose(_find_box(instead.get(node) or self._get_shown(node)) for node in layers)
        on_canvas = None if drawn is None else drawn.intersect(Box(0, 0, *document.size))
        for strip in () if on_canvas is None else on_canvas.cut_into_strips(_STRIP_PIXELS):
            nothing = np.zeros((strip.height, strip.width, 4), np.float32)
            _store(result, strip, self._paint_level(nothing, strip, nodes, (), instead))
        return result

    def _paint_level(
        self, below: np.ndarray, strip: Box, nodes: list[Node], groups: tuple[Node, ...], instead: dict[Node, Picture]
    ) -> np.ndarray:
        """Return `below`, a strip of the canvas, with the members of one group, () for the top level, over it."""
        for node in nodes:
            if node.groups != groups or not (node.is_visible or node in instead):
                continue
            if node.is_group:
                within = (*groups, node)
                if not node.is_isolated:
                    below = self._paint_level(below, strip, nodes, within, instead)
                    continue
                above = self._paint_level(np.zeros_like(below), strip, nodes, within, instead)
                below = _blend_layer(below, above, (0, 0), node)
                continue
            picture = instead.get(node) or self._get_shown(node)
            box = _find_box(picture).intersect(strip)
            if box is None:
                if node.operator in CUTTING:
                    below = blend_over(below, np.zeros_like(below), node.operator)
                continue
            pixels = _crop_layer(picture.pixels, box, picture.position)
            above = convert_pixels(pixels, picture.encoding, Encoding(profile=self.profile), gray=False)
            below = _blend_layer(below, above, (box.left - strip.left, box.top - strip.top), node)
        return below


def _check_shown(node: Node) -> None:
    """Raise InputError if nobody would see a change of a layer, even if it were visible."""
    if node.opacity == 0:
        raise InputError(f"The opacity of the layer {node.name!r} is 0.", "Raise its opacity.")
    for group in node.groups:
        if not group.is_visible:
            raise InputError(f"The layer {node.name!r} is in the hidden group {group.name!r}.", "Show the group.")
        if group.opacity == 0:
            raise InputError(
                f"The layer {node.name!r} is in the group {group.name!r}, which has no opacity.",
                "Raise the group's opacity.",
            )


def _blend_layer(below: np.ndarray, above: np.ndarray, at: tuple[int, int], node: Node) -> np.ndarray:
    """Return `below` with part of a layer blended over it by its operator and opacity.

    at: (x, y) of the part, which must lie within `below`.   Either array may be changed.
    """
    above[..., 3] *= node.opacity
    inside = (slice(at[1], at[1] + above.shape[0]), slice(at[0], at[0] + above.shape[1]))
    if node.operator in CUTTING:
        whole = np.zeros_like(below)
        whole[inside] = above
        return blend_over(below, whole, node.operator)
    below[inside] = blend_over(below[inside], above, node.operator)
    return below


def _drop_opaque_alpha(pixels: np.ndarray) -> np.ndarray:
    """Return pixels (H, W, 4) without an alpha that is full everywhere."""
    is_opaque = pixels[..., 3].min() == np.iinfo(pixels.dtype).max
    return np.ascontiguousarray(pixels[..., :3]) if is_opaque else pixels


def _find_box(picture: Picture) -> Box:
    return Box(*picture.position, picture.pixels.shape[1], picture.pixels.shape[0])


def _store(result: np.ndarray, strip: Box, painted: np.ndarray) -> None:
    """Write a painted strip, float32, into integer pixels."""
    levels = np.rint(painted.clip(0, 1) * np.iinfo(result.dtype).max)
    result[strip.top : strip.bottom, strip.left : strip.right] = levels


def _crop_layer(layer: np.ndarray, box: Box, at: tuple[int, int]) -> np.ndarray:
    """Return the part of a layer at (x, y) that lies in a box of the canvas."""
    return layer[box.top - at[1] : box.bottom - at[1], box.left - at[0] : box.right - at[0]]
