"""OpenRaster files, the layered format shared by Krita, GIMP and MyPaint (openraster.org, version 0.0.6).

A zip with one PNG per layer and `stack.xml`, which describes their arrangement. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import contextlib
import copy
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from gknet.errors import PictureError, UnsupportedError
from gknet.files.codecs.raster import decode_png, encode_png
from gknet.files.picture import MAX_PIXELS, Picture, check_size, damage_error, file_error, replace_file
from gknet.files.xml import parse_xml

_MIMETYPE = b"image/openraster"
_MAX_DEPTH = 64  # of nested groups
_MAX_LAYERS = 4096
_MAX_LAYER_PIXELS = 10 * MAX_PIXELS  # of all layers that are read: 16 GB at 8 bits
_MAX_BYTES = 4 << 30  # of all members together, unpacked
_MAX_XML = 8 << 20
_THUMBNAIL = 256
_REWRITTEN = ("mimetype", "stack.xml", "mergedimage.png", "Thumbnails/thumbnail.png")


class Members(Protocol):
    """The files in an OpenRaster zip, or their equivalent made from another format."""

    names: list[str]

    def read_picture(self, name: str) -> Picture:
        """Return a layer's pixels. Raises PictureError or UnsupportedError."""

    def measure(self, name: str) -> tuple[int, int]:
        """Return a layer's width and height, without reading its pixels. Raises PictureError."""

    def copy_to(self, target: zipfile.ZipFile) -> None:
        """Copy all files byte for byte, except those in _REWRITTEN."""


class Painter(Protocol):
    """Renders a picture whose format has features that OpenRaster lacks."""

    profile: bytes | None
    gray: bool

    def paint(self, until: ElementTree.Element | None, instead: tuple[ElementTree.Element, np.ndarray] | None) -> Any:
        """Render the part of the canvas that has layers, and return it with the (x, y) of its top left corner.

        It is what `gknet.files.layered.layers.Layers` would paint: (h, w, 4) float32, straight alpha.
        """

    def compare_with_stored(self, picture: np.ndarray) -> list[str]:
        """Return a note if the whole picture, rendered, differs visibly from the one that the file stores.

        picture: (H, W, 1 to 4) uint8 or uint16, in `profile`, straight alpha.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A layer or a group.

    element: of stack.xml.   groups: the groups that contain it, outermost first.   left, top: on the canvas, pixels.
    """

    element: ElementTree.Element
    groups: tuple[Node, ...]
    left: int
    top: int
    opacity: float

    @property
    def name(self) -> str:
        """The name that the user gave it."""
        return self.element.get("name", "")

    @property
    def is_group(self) -> bool:
        """Whether it is a group."""
        return self.element.tag == "stack"

    @property
    def operator(self) -> str:
        """Operator that blends it over the layers below."""
        return self.element.get("composite-op", "svg:src-over")

    @property
    def is_visible(self) -> bool:
        """Whether neither it nor any of its groups is hidden."""
        return all(node.element.get("visibility", "visible") == "visible" for node in (*self.groups, self))

    @property
    def is_visible_with_opacity(self) -> bool:
        """Whether it is visible with some opacity, as are all of its groups."""
        return self.is_visible and all(node.opacity > 0 for node in (*self.groups, self))

    @property
    def is_isolated(self) -> bool:
        """Whether a group is rendered separately before it is blended over the layers below."""
        plain = self.operator == "svg:src-over" and self.opacity == 1
        return not plain or self.element.get("isolation", "auto") == "isolate"


@dataclass(frozen=True, slots=True, eq=False)
class OpenRaster:
    """A layered picture.

    root: of stack.xml.   size: (width, height) of the canvas.   nodes: groups and layers in drawing order, lowest
    first, a group before its members.   notes: unsupported features of the file, in user-facing words.
    openraster_notes: features that are rendered, but lost when the layers are written as OpenRaster.
    painter: renders the picture instead, if the file's own format requires it.
    metadata: of the whole picture, as in Picture.
    """

    path: Path
    root: ElementTree.Element
    size: tuple[int, int]
    nodes: list[Node]
    members: Members
    notes: list[str] = field(default_factory=list)
    openraster_notes: list[str] = field(default_factory=list)
    painter: Painter | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def read_layer(self, node: Node) -> Picture:
        """Return a layer's pixels. Raises PictureError or UnsupportedError."""
        return self.members.read_picture(node.element.get("src", ""))

    def check_layers(self, chosen: Node | None) -> None:
        """Raise PictureError if the visible layers and the chosen one together have too many pixels to be read."""
        layers = [node for node in self.nodes if not node.is_group and (node.is_visible or node is chosen)]
        total = 0
        for node in layers:
            width, height = self.members.measure(node.element.get("src", ""))
            check_size(self.path, width, height)
            total += width * height
        if total > _MAX_LAYER_PIXELS:
            limit = f"{_MAX_LAYER_PIXELS // 10**6:,} megapixels"
            raise PictureError(
                f"{self.path} is too large: its visible layers have over {limit}.", "Merge some of them."
            )

    def write(self, path: Path, source: Node, layer: Picture, merged: Picture) -> None:
        """Write the file with one more layer just above its source, which is hidden; all other files byte for byte.

        layer: its pixels; position, opacity and operator are the source's.   merged: the whole picture as rendered with
        it.
        Raises PictureError if the file cannot be written; an existing file is kept.
        """
        taken = set(self.members.names)
        member = next(name for n in range(len(taken) + 1) if (name := f"data/harmonized-{n}.png") not in taken)
        stack = ElementTree.tostring(_insert_layer(self.root, source, member), "UTF-8", xml_declaration=True)
        with replace_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
            file.writestr("mimetype", _MIMETYPE)
            self.members.copy_to(file)
            file.writestr("stack.xml", stack, zipfile.ZIP_DEFLATED)
            file.writestr(member, encode_png(layer.pixels, layer))
            file.writestr("mergedimage.png", encode_png(merged.pixels, merged))
            file.writestr("Thumbnails/thumbnail.png", _make_thumbnail(merged))


def read(path: Path) -> OpenRaster:
    """Return the layered picture in a file; its pixels are read on demand.

    Raises PictureError if the file is damaged or too large, UnsupportedError for any other kind of zip.
    """
    members = _Zip(path)
    root = _parse_xml(path, members.read("stack.xml", _MAX_XML))
    return parse_stack(path, root, members)


def parse_stack(
    path: Path,
    root: ElementTree.Element,
    members: Members,
    notes: list[str] | None = None,
    openraster_notes: list[str] | None = None,
    painter: Painter | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> OpenRaster:
    """Return the layered picture described by a stack.xml. Raises PictureError if it is invalid."""
    try:
        size = (int(root.get("w", "")), int(root.get("h", "")))
        stack = root.find("stack")
        if min(size) < 1 or stack is None:
            raise ValueError
    except ValueError as error:
        raise damage_error(path) from error
    check_size(path, *size)
    if sum(1 for _ in stack.iter()) > _MAX_LAYERS:
        raise PictureError(f"{path} has more than {_MAX_LAYERS} layers and groups.", "Merge some of them.")
    try:
        nodes = list(_walk_nodes(stack, (), int(stack.get("x", "0")), int(stack.get("y", "0"))))
    except ValueError as error:
        raise damage_error(path) from error
    notes = [] if notes is None else notes
    odd = {element.tag for element in stack.iter() if element.tag not in ("layer", "stack", ElementTree.Comment)}
    notes += [f"the unknown element <{tag}> is left out" for tag in sorted(map(str, odd))]
    if not any(not node.is_group for node in nodes):
        raise PictureError(f"{path} has no layer with pixels.", "Use a file with a layer above a background.")
    metadata = {**_read_resolution(root), **(metadata or {})}
    return OpenRaster(path, root, size, nodes, members, notes, openraster_notes or [], painter, metadata)


def _read_resolution(root: ElementTree.Element) -> dict[str, float]:
    """Return the resolution in pixels per millimeter, as libvips has it; the file has it in pixels per inch."""
    try:
        across, down = float(root.get("xres", "")), float(root.get("yres", ""))
    except ValueError:
        return {}
    return {"xres": across / 25.4, "yres": down / 25.4} if 1 <= min(across, down) <= max(across, down) < 65536 else {}


def _walk_nodes(stack: ElementTree.Element, groups: tuple[Node, ...], left: int, top: int) -> Iterator[Node]:
    """Yield a stack's nodes, lowest first. Offsets of groups add up, as in older versions of the format."""
    if len(groups) > _MAX_DEPTH:
        raise ValueError
    for element in reversed(stack):
        if element.tag not in ("layer", "stack"):
            continue
        opacity = float(element.get("opacity", "1"))
        if not 0 <= opacity <= 1:
            raise ValueError
        x, y = left + int(element.get("x", "0")), top + int(element.get("y", "0"))
        node = Node(element, groups, x, y, opacity)
        yield node
        if node.is_group:
            yield from _walk_nodes(element, (*groups, node), x, y)


def _parse_xml(path: Path, xml: bytes) -> ElementTree.Element:
    """Return stack.xml's root. Raises PictureError."""
    try:
        return parse_xml(xml)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise damage_error(path) from error


def _insert_layer(root: ElementTree.Element, source: Node, member: str) -> ElementTree.Element:
    """Return a stack.xml with a layer, whose pixels are in a member of the zip, just above its source.

    The source is hidden, because overlapping soft edges would look thicker.
    """
    changed = copy.deepcopy(root)
    hidden = list(changed.iter())[list(root.iter()).index(source.element)]
    parent = next(element for element in changed.iter() if hidden in list(element))
    kept = {name: value for name, value in hidden.items() if name in ("x", "y", "opacity", "composite-op")}
    above = ElementTree.Element("layer", kept, name=f"{source.name} (harmonized)", src=member, visibility="visible")
    above.tail = hidden.tail
    parent.insert(list(parent).index(hidden), above)
    hidden.set("visibility", "hidden")
    return changed


def _make_thumbnail(merged: Picture) -> bytes:
    pixels = merged.pixels if merged.pixels.dtype == np.uint8 else (merged.pixels >> 8).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "PNG", icc_profile=merged.profile)
    return content.getvalue()


class _Zip:
    """The members of an OpenRaster file, checked before any is unpacked. Raises PictureError, UnsupportedError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as file:
            members = file.infolist()
        self.names = names = [member.filename for member in members]
        if "mimetype" not in names or self.read("mimetype", 64).strip() != _MIMETYPE:
            raise UnsupportedError(f"{path} is a zip, not an OpenRaster file.", "Export it as .ora from Krita or GIMP.")
        if any(path.anchor or ".." in path.parts for path in map(PureWindowsPath, names)):  # parses both slashes
            raise PictureError(f"{path} contains unsafe file names.", "Export it again.")
        if len(set(names)) < len(names) or any(member.flag_bits & 1 for member in members):
            raise damage_error(path)
        # PNG is compressed already: a member that a zip compresses a hundredfold is a decompression bomb.
        is_bomb = any(member.file_size > 100 * member.compress_size + (1 << 20) for member in members)
        if is_bomb or sum(member.file_size for member in members) > _MAX_BYTES:
            raise PictureError(f"{path} is too large when unpacked.", "Export it again with fewer layers.")

    def read(self, name: str, max_bytes: int = _MAX_BYTES) -> bytes:
        """Return a member's bytes."""
        with self._open() as file:
            try:
                if file.getinfo(name).file_size > max_bytes:
                    raise damage_error(self._path)
                return file.read(name)
            except KeyError as error:
                raise damage_error(self._path) from error

    def read_picture(self, name: str) -> Picture:
        """Return the pixels of a PNG."""
        return decode_png(self.read(name), self._path)

    def measure(self, name: str) -> tuple[int, int]:
        """Return a PNG's width and height."""
        with self._open() as file:
            try:
                with file.open(name) as member:
                    head = member.read(24)
            except KeyError as error:
                raise damage_error(self._path) from error
        if len(head) < 24 or not head.startswith(b"\x89PNG\r\n\x1a\n"):
            raise damage_error(self._path)
        width, height = struct.unpack(">II", head[16:])
        return width, height

    def copy_to(self, target: zipfile.ZipFile) -> None:
        """Copy all files byte for byte, except those in _REWRITTEN."""
        with self._open() as file:
            for member in file.infolist():
                if member.filename not in _REWRITTEN and not member.is_dir():
                    with file.open(member) as source, target.open(_copy_info(member), "w") as copied:
                        shutil.copyfileobj(source, copied)

    @contextlib.contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as file:
                yield file
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            UnicodeDecodeError,
        ) as error:
            raise damage_error(self._path) from error
        except OSError as error:
            raise file_error(self._path, "read", error) from error


def _copy_info(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member.filename, member.date_time)
    info.compress_type, info.external_attr = member.compress_type, member.external_attr
    info.file_size = member.file_size  # decides whether the zip needs 64-bit sizes
    return info
