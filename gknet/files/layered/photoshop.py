"""Photoshop files, read as OpenRaster. Needs the package psd-tools, the extra `psd`.

Renders all that psd-tools supports: blend modes, masks, clipping, fills, shapes, some effects and adjustment layers. A
layer becomes an OpenRaster layer with its masks applied; features that OpenRaster lacks are listed in the notes.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from gknet.errors import PictureError
from gknet.files.codecs.photoshop import find_channel_notes, open_document, read_metadata, translate_errors
from gknet.files.codecs.raster import encode_png
from gknet.files.layered.openraster import OpenRaster, parse_stack
from gknet.files.layered.stored import compare_with_stored
from gknet.files.picture import Picture
from gknet.files.statements.colors import find_profile
from gknet.files.statements.exif import parse_tags
from gknet.files.xml import INVALID_CHARACTERS

_OPERATORS = {
    "NORMAL": "svg:src-over",
    "PASS_THROUGH": "svg:src-over",
    "MULTIPLY": "svg:multiply",
    "SCREEN": "svg:screen",
    "OVERLAY": "svg:overlay",
    "DARKEN": "svg:darken",
    "LIGHTEN": "svg:lighten",
    "COLOR_DODGE": "svg:color-dodge",
    "COLOR_BURN": "svg:color-burn",
    "HARD_LIGHT": "svg:hard-light",
    "SOFT_LIGHT": "svg:soft-light",
    "DIFFERENCE": "svg:difference",
    "LINEAR_DODGE": "svg:plus",
    "HUE": "svg:hue",
    "SATURATION": "svg:saturation",
    "COLOR": "svg:color",
    "LUMINOSITY": "svg:luminosity",
}
_DRAWN_EFFECTS = ("coloroverlay", "gradientoverlay", "patternoverlay", "stroke")


def read(path: Path) -> OpenRaster:
    """Return the layered picture in a .psd or .psb; its pixels are rendered on demand.

    Raises PictureError if the file is damaged or too large, UnsupportedError for anything but RGB or gray of 8 or 16
    bits, MissingPackageError without the package.
    """
    document = open_document(path)
    if not len(document):
        raise PictureError(f"{path} has no layers.", f"Give a mask, too: gknet harmonize {path.name} MASK -o OUT.")

    with translate_errors(path):
        root = ElementTree.Element("image", w=str(document.width), h=str(document.height), version="0.0.6")
        drawn: dict[ElementTree.Element, Any] = {}
        notes, openraster_notes = list[str](), list[str]()
        _add_layers(ElementTree.SubElement(root, "stack"), document, drawn, notes, openraster_notes)
        notes += find_channel_notes(document)
        file = _Drawing(path, document, drawn)
        metadata = read_metadata(document)
    return parse_stack(path, root, file, notes, openraster_notes, file, metadata)


def _add_layers(
    stack: ElementTree.Element,
    group: Any,
    drawn: dict[ElementTree.Element, Any],
    notes: list[str],
    openraster_notes: list[str],
) -> None:
    """Add a group's layers to a stack as elements, topmost first.

    notes: gets what is not drawn.   openraster_notes: gets what is drawn, but differs in the OpenRaster layers.
    """
    from psd_tools.api.layers import AdjustmentLayer, FillLayer
    from psd_tools.composite.adjustments import ADJUSTMENT_FUNC

    for layer in reversed(group):
        name, mode = repr(layer.name), layer.blend_mode.name
        undrawn_notes = notes if layer.is_visible() else openraster_notes  # nobody misses what is hidden
        if isinstance(layer, AdjustmentLayer) and not isinstance(layer, FillLayer):
            if layer.kind in ADJUSTMENT_FUNC:
                openraster_notes.append(f"the adjustment {name} is missing from the OpenRaster layers")
            else:
                undrawn_notes.append(f"the adjustment {name} is left out")
            continue
        if layer.clipping and not layer.is_group():
            openraster_notes.append(f"{name} is merged into the layer that it is clipped to")
            continue
        undrawn = [effect.name for effect in layer.effects if effect.enabled and not _is_drawn(effect)]
        undrawn_notes += [f"the effect {effect} of {name} is left out" for effect in undrawn if layer.effects.enabled]
        if mode not in _OPERATORS:
            openraster_notes.append(f"the blend mode of {name} is normal in the OpenRaster layers")
        element = ElementTree.SubElement(
            stack, "stack" if layer.is_group() else "layer", name=INVALID_CHARACTERS.sub("\ufffd", layer.name)
        )
        element.set("opacity", f"{layer.opacity / 255:.6f}")
        element.set("visibility", "visible" if layer.visible else "hidden")
        element.set("composite-op", _OPERATORS.get(mode, "svg:src-over"))
        drawn[element] = layer
        if layer.is_group():
            element.set("isolation", "auto" if mode == "PASS_THROUGH" else "isolate")
            blends = any(one.blend_mode.name not in ("NORMAL", "PASS_THROUGH") for one in layer.descendants())
            if mode == "PASS_THROUGH" and layer.opacity < 255 and blends:
                openraster_notes.append(
                    f"the blend modes in the translucent group {name} affect only that group in the OpenRaster layers"
                )
            if layer.has_mask() or layer.has_vector_mask():
                openraster_notes.append(f"the mask of the group {name} is missing from the OpenRaster layers")
            _add_layers(element, layer, drawn, notes, openraster_notes)
        else:
            left, top, _, _ = _find_box(layer)
            element.set("x", str(left))
            element.set("y", str(top))
            element.set("src", f"data/layer-{len(drawn)}.png")


def _is_drawn(effect: Any) -> bool:
    return effect.name.lower() in _DRAWN_EFFECTS


def _is_plain(layer: Any) -> bool:
    """Whether a layer consists of its own pixels only."""
    fancy = layer.has_mask() or layer.has_vector_mask() or layer.has_effects() or layer.has_clip_layers()
    return layer.kind == "pixel" and not fancy and layer.fill_opacity == 255


def _find_box(layer: Any) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what a layer draws; effects may reach beyond its own box."""
    empty = layer.width < 1 or layer.height < 1
    box: tuple[int, int, int, int] = layer._psd.viewbox if empty or layer.has_effects() else layer.bbox
    return box


class _Drawing:
    """A Photoshop document as the Members and the Painter of an OpenRaster picture."""

    def __init__(self, path: Path, document: Any, drawn: dict[ElementTree.Element, Any]) -> None:
        from psd_tools.constants import ColorMode, Resource

        self._path, self._document, self._drawn = path, document, drawn
        self.names = [name for element in drawn if (name := element.get("src")) is not None]
        self._depth: type = np.uint8 if document.depth == 8 else np.uint16
        self._full = 2**document.depth - 1
        self.gray = document.color_mode == ColorMode.GRAYSCALE
        resources = document.image_resources
        exif = parse_tags(resources.get_data(Resource.EXIF_DATA_1, b""))
        self.profile = find_profile(path, resources.get_data(Resource.ICC_PROFILE), None, exif, gray=self.gray)

    def _find_layer(self, name: str) -> Any:
        return next(layer for element, layer in self._drawn.items() if element.get("src") == name)

    def measure(self, name: str) -> tuple[int, int]:
        """Return a layer's width and height."""
        left, top, right, bottom = _find_box(self._find_layer(name))
        return right - left, bottom - top

    def read_picture(self, name: str) -> Picture:
        """Return a layer's pixels."""
        with translate_errors(self._path):
            return Picture(pixels=self._render(self._find_layer(name)), profile=self.profile)

    def copy_to(self, target: zipfile.ZipFile) -> None:
        """Copy all layers."""
        for name in self.names:
            picture = self.read_picture(name)
            target.writestr(name, encode_png(picture.pixels, picture))

    def paint(self, until: ElementTree.Element | None, instead: tuple[ElementTree.Element, np.ndarray] | None) -> Any:
        """Render as `Painter.paint`."""
        from psd_tools.composite import composite

        replaced = (
            contextlib.nullcontext() if instead is None else self._replace_layer(self._drawn[instead[0]], instead[1])
        )
        with translate_errors(self._path), replaced:
            order = list(self._document.descendants())
            included = set(map(id, order if until is None else self._list_below(order, self._drawn[until])))
            left, top, right, bottom = self._find_extent()
            if left >= right or top >= bottom:
                return np.zeros((0, 0, 4), np.float32), (0, 0)
            colors, _, alpha = composite(
                self._document,
                viewport=(left, top, right, bottom),
                layer_filter=lambda one: id(one) in included and one.visible and not self._is_large_and_empty(one),
            )
            painted = np.empty((*alpha.shape[:2], 4), np.float32)
            painted[..., :3], painted[..., 3:] = colors, alpha
            return painted, (left, top)

    def compare_with_stored(self, picture: np.ndarray) -> list[str]:
        """Compare as `Painter.compare_with_stored`."""
        return compare_with_stored(self._path, self._document, picture)

    def _is_large_and_empty(self, layer: Any) -> bool:
        """Whether a plain layer larger than the canvas is transparent everywhere: drawing it would take long."""
        if layer.width * layer.height <= self._document.width * self._document.height or not _is_plain(layer):
            return False
        shape = layer.numpy("shape")
        return shape is not None and not shape.any()

    def _find_extent(self) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the part of the canvas that has layers."""
        layers = (layer for layer in self._document.descendants() if not layer.is_group())
        lefts, tops, rights, bottoms = zip(*map(_find_box, layers), strict=True)
        left, top, right, bottom = self._document.viewbox
        return max(left, min(lefts)), max(top, min(tops)), min(right, max(rights)), min(bottom, max(bottoms))

    @staticmethod
    def _list_below(order: list[Any], layer: Any) -> list[Any]:
        """Return the layers drawn before a layer, with the groups that contain it."""
        shown, group = [], layer.parent
        for other in order:
            if other is layer:
                break
            shown.append(other)
        while group in order:
            shown.append(group)
            group = group.parent
        return shown

    @contextlib.contextmanager
    def _replace_layer(self, layer: Any, pixels: np.ndarray) -> Iterator[None]:
        """Temporarily show pixels in place of a layer and of everything clipped to it."""
        left, top, _, _ = _find_box(layer)
        hidden = [(one, one.visible) for one in (layer, *layer.clip_layers)]
        new = layer.parent.create_pixel_layer_from_array(
            pixels, top=top, left=left, opacity=layer.opacity, blend_mode=layer.blend_mode
        )
        new.move_to(layer.parent, index=layer.parent.index(layer) + 1)
        try:
            for one, _ in hidden:
                one.visible = False
            yield
        finally:
            new.delete_layer()
            for one, visible in hidden:
                one.visible = visible

    def _render(self, layer: Any) -> np.ndarray:
        """Return a layer with its masks, without its opacity and blend mode: (h, w, 2 or 4) of the document's depth."""
        from psd_tools.composite import composite
        from psd_tools.constants import BlendMode

        if _is_plain(layer):
            values = layer.numpy()
            if values is None:  # a layer without pixels
                left, top, right, bottom = _find_box(layer)
                values = np.zeros((bottom - top, right - left, 2 if self.gray else 4), np.float32)
        else:
            clipped = {id(other) for other in layer.clip_layers if other.visible}
            kept = layer.opacity, layer.blend_mode
            layer.opacity, layer.blend_mode = 255, BlendMode.NORMAL
            colors, _, alpha = composite(
                layer,
                viewport=_find_box(layer),
                layer_filter=lambda other: other is layer or id(other) in clipped,
                as_layer=True,
            )
            layer.opacity, layer.blend_mode = kept
            values = np.concatenate([colors, alpha], axis=2)
        if values.shape[2] in (1, 3):
            values = np.concatenate([values, np.ones_like(values[..., :1])], axis=2)
        levels: np.ndarray = np.rint(values.clip(0, 1) * self._full).astype(self._depth)
        return levels
