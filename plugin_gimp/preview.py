"""The preview in the dialog: a small copy of the layer is harmonized without blocking the interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import backdrop
import request
from gi.repository import GdkPixbuf, Gegl, Gimp, GLib, Gtk
from pixels import read_scaled
from request import Settings
from thin.choices import BELOW, compute_reference_size, format_error
from thin.job import Backend, Job
from thin.preview import find_surroundings
from thin.protocol import CANCELLED, UNKNOWN_FIT, ThinError

GAP = 12
"""Pixels between the pictures."""
_TICK_MS = 25
_FORMAT = "R'G'B'A u8"
"""sRGB for every image, as GIMP shows it on a screen without a profile."""


@dataclass(frozen=True)
class _Picture:
    """What a version looks like with some settings.   settings: without the version.   warnings: sentences."""

    settings: Settings
    pixbuf: GdkPixbuf.Pixbuf
    warnings: list[str]


class Preview:
    """Two pictures side by side, before and after, and a message.

    The network runs once; then all versions are made, the wanted one first, and kept until other settings than the
    version change. Everything but the requests runs on the interface's thread.

    side: maximum pixels of each picture's long side.   on_change: called when there are new pictures.
    widget, note: the widgets for the dialog.   notice: a sentence to show above the other messages, or "".
    probabilities: that of each version; empty before the first answer.
    """

    def __init__(
        self, image: Gimp.Image, layer: Gimp.Layer, backend: Backend, side: int, on_change: Callable[[], object]
    ) -> None:
        self._image, self._layer, self._backend = image, layer, backend
        self._side, self._on_change = side, on_change
        self.probabilities: list[float] = []
        self.notice = ""
        self._text = ""
        self._scene: _Scene | None = None
        self._fits: dict[tuple[str, int], tuple[str, list[float]]] = {}
        self._pictures: dict[int, _Picture] = {}
        self._wanted: Settings | None = None
        self._has_failed = False
        self._job: tuple[Job, Settings] | None = None
        self._before, self._after = Gtk.Image(), Gtk.Image()
        self.note = Gtk.Label(wrap=True, max_width_chars=60, width_chars=60, xalign=0, yalign=0, lines=3)
        self.note.set_size_request(-1, 44)  # two lines, so that the dialog doesn't grow with a message
        self.widget = self._create_widget()
        self._timer = GLib.timeout_add(_TICK_MS, self._poll)

    def show(self, settings: Settings) -> None:
        """Show the result of these settings: at once if it has been made, otherwise as soon as possible.

        Only the last call counts. A version that the layer doesn't have counts as version 1.
        """
        self._wanted, self._has_failed = settings, False
        if _get_scene_key(settings) in self._fits:
            self.probabilities = self._fits[_get_scene_key(settings)][1]  # fewer, perhaps, than in the last scene
        if self._job is not None and _get_scene_key(self._job[1]) != _get_scene_key(settings):
            self._job[0].cancel()
        self._show_wanted()

    def get_version(self, number: int) -> GdkPixbuf.Pixbuf | None:
        """Return the picture of a version, from 1, as last made; None before that."""
        picture = self._pictures.get(number)
        return None if picture is None else picture.pixbuf

    def pause(self) -> None:
        """Stop all work, and forget what an engine answered, until the next `show`. The pictures stay."""
        self._wanted = None
        self.probabilities = []
        self._fits, self._pictures = {}, {}
        if self._job is not None:
            self._job[0].cancel()

    def close(self) -> None:
        """Stop all work for the preview."""
        GLib.source_remove(self._timer)
        if self._job is not None:
            self._job[0].cancel()

    def _poll(self) -> bool:
        """Take a finished result and start the next request. Called forty times a second."""
        if self._job is not None and self._job[0].is_done:
            (job, settings), self._job = self._job, None
            self._take_answer(job, settings)
        if self._job is not None:
            if not self._fits:  # later requests end before their text could be read
                self._show_text(self._job[0].text)
        elif self._wanted is not None and not self._has_failed:
            number = self._find_missing()
            if number is not None:
                settings = replace(self._wanted, variant=number)
                try:
                    self._job = (self._start(settings), settings)
                except ThinError as error:
                    self._show_error(error)
        return True

    def _find_version(self) -> int:
        """Return the wanted version, or 1 if the layer doesn't have it."""
        assert self._wanted is not None
        return self._wanted.variant if self._wanted.variant <= max(1, len(self.probabilities)) else 1

    def _is_missing(self, number: int) -> bool:
        assert self._wanted is not None
        picture = self._pictures.get(number)
        return picture is None or picture.settings != _drop_version(self._wanted)

    def _find_missing(self) -> int | None:
        """Return the version to make next: the wanted one, then from 1 up; None if none is missing."""
        assert self._wanted is not None
        if _get_scene_key(self._wanted) not in self._fits:
            return 1  # which every layer has
        versions = (self._find_version(), *range(1, len(self.probabilities) + 1))
        return next((number for number in versions if self._is_missing(number)), None)

    def _show_wanted(self) -> None:
        """Show the wanted picture if it has been made."""
        number = self._find_version()
        if not self._is_missing(number):
            self._after.set_from_pixbuf(self._pictures[number].pixbuf)
            self._show_text("\n".join(self._pictures[number].warnings))

    def _start(self, settings: Settings) -> Job:
        if self._scene is None:
            self._scene = _Scene(self._image, self._layer, self._side)
            self._before.set_from_pixbuf(self._scene.draw_layer(self._scene.pixels))
        scene = self._scene
        asked: dict[str, Any] = {"layer": scene.fields, "layer_bytes": scene.pixels, "selection": scene.selection}
        request.check_has_object(scene.has_shape, scene.selection)
        fit, _ = self._fits.get(_get_scene_key(settings), (None, []))
        if fit is not None:
            return self._backend.harmonize(**asked, options={**settings.options, "fit": fit})
        with backdrop.render_backdrop(self._image, self._layer, settings.compare, settings.chosen) as visible:
            reference, pixels = scene.read_reference(visible)
        return self._backend.harmonize(**asked, options=settings.options, reference=reference, reference_bytes=pixels)

    def _take_answer(self, job: Job, settings: Settings) -> None:
        key = _get_scene_key(settings)
        try:
            result, pixels = job.get_answer()
        except ThinError as error:
            if error.code == UNKNOWN_FIT and key in self._fits:
                del self._fits[key]
            elif error.code != CANCELLED:
                self._show_error(error)
            return
        assert self._scene is not None
        if key not in self._fits:
            self._fits[key] = (result["fit"], list(result.get("variants", [1.0])))  # older backends have one version
        picture = _Picture(_drop_version(settings), self._scene.draw_layer(bytes(pixels)), result["warnings"])
        self._pictures[settings.variant] = picture
        assert self._wanted is not None
        if key == _get_scene_key(self._wanted):
            self.probabilities = self._fits[key][1]
            self._show_wanted()
            self._on_change()

    def _show_error(self, error: ThinError) -> None:
        self._has_failed = True  # until there are other settings
        self._after.set_from_icon_name("dialog-warning", Gtk.IconSize.DIALOG)
        self._show_text(format_error(error).replace("\n\n", "\n"))

    def _show_text(self, text: str) -> None:
        self._text = text
        shown = "\n".join(filter(None, (self.notice, self._text)))
        if self.note.get_text() != shown:
            self.note.set_text(shown)

    def _create_widget(self) -> Gtk.Widget:
        grid = Gtk.Grid(row_spacing=6, column_spacing=GAP, column_homogeneous=True, halign=Gtk.Align.CENTER)
        # The dialog must not grow when the pictures appear. Effects may make them larger than this.
        height = max(_find_region(self._image, self._layer, self._side)[1][3], self._side * 3 // 4)
        for column, (text, picture) in enumerate((("Before", self._before), ("After", self._after))):
            picture.set_size_request(self._side, height)
            picture.get_accessible().set_name(text)
            grid.attach(Gtk.Label(label=text), column, 0, 1, 1)
            grid.attach(picture, column, 1, 1, 1)
        return grid


class _Scene:
    """The scaled layer, and a scaled picture of the canvas around it.

    pixels, fields: the layer's, in the protocol's form.   selection: one byte per pixel, or None.
    has_shape: whether some of the layer may be transparent.
    """

    def __init__(self, image: Gimp.Image, layer: Gimp.Layer, side: int) -> None:
        with backdrop.render_layer(image, layer) as seen, backdrop.apply_mask(seen) as bare:
            self.has_shape = request.has_shape(seen)
            self._scale, self._region = _find_region(image, seen, side)
            self._size = _scale_size(seen.get_width(), seen.get_height(), self._scale)
            self.pixels = read_scaled(bare, _FORMAT, (0, 0, *self._size), self._scale)
            whole = request.read_placement(layer, seen)
        place = {axis: round(whole[axis] * self._scale) for axis in ("x", "y")}
        self.fields = {**_describe_size(*self._size), **whole, **place}
        self.selection = self._read_selection(image, place)
        with backdrop.render_backdrop(image, layer, BELOW, None) as visible:
            self._below = _create_pixbuf(read_scaled(visible, _FORMAT, self._region, self._scale), *self._region[2:])

    def read_reference(self, visible: Gimp.Layer) -> tuple[dict[str, Any], bytes]:
        """Return the protocol's `reference` for the scaled layer: map and pixels."""
        canvas = [max(1, round(side * self._scale)) for side in (visible.get_width(), visible.get_height())]
        width, height = compute_reference_size(*canvas)
        scale = max(width, height) / max(visible.get_width(), visible.get_height())
        pixels = read_scaled(visible, _FORMAT, (0, 0, width, height), scale)
        return {**_describe_size(width, height), "canvas_width": canvas[0], "canvas_height": canvas[1]}, pixels

    def draw_layer(self, pixels: bytes) -> GdkPixbuf.Pixbuf:
        """Return the picture of the canvas with the layer's pixels, original or harmonized, on top."""
        left, top, width, height = self._region
        picture = self._below.composite_color_simple(
            width, height, GdkPixbuf.InterpType.NEAREST, 255, 8, 0x999999, 0x666666
        )
        # The part of the layer in the region, in the region's pixels.
        x, y = self.fields["x"] - left, self.fields["y"] - top
        first, last = (max(0, x), max(0, y)), (min(width, x + self._size[0]), min(height, y + self._size[1]))
        if first[0] < last[0] and first[1] < last[1]:
            over = _create_pixbuf(pixels, *self._size)
            size = (last[0] - first[0], last[1] - first[1])
            shown = round(self.fields["opacity"] * 255)
            over.composite(picture, *first, *size, x, y, 1, 1, GdkPixbuf.InterpType.NEAREST, shown)
        return picture

    def _read_selection(self, image: Gimp.Image, place: dict[str, int]) -> bytes | None:
        if Gimp.Selection.is_empty(image):
            return None
        box = (place["x"], place["y"], *self._size)
        return read_scaled(image.get_selection(), "Y u8", box, self._scale, Gegl.AbyssPolicy.NONE)


def _find_region(image: Gimp.Image, layer: Gimp.Layer, side: int) -> tuple[float, tuple[int, int, int, int]]:
    """Return the pictures' scale and the region they show: left, top, width, height in their pixels.

    side: maximum of width and height.
    """
    _, left, top = layer.get_offsets()
    box = (left, top, layer.get_width(), layer.get_height())
    region = find_surroundings(box, image.get_width(), image.get_height())
    scale = min(1.0, side / max(region[2:]))
    return scale, (round(region[0] * scale), round(region[1] * scale), *_scale_size(*region[2:], scale))


def _scale_size(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _get_scene_key(settings: Settings) -> tuple[str, int]:
    """Return the settings that a fit depends on: not the strength, nor the edge's colours, which hardly matter."""
    return settings.compare, settings.chosen.get_id() if settings.chosen is not None else 0


def _drop_version(settings: Settings) -> Settings:
    """Return the settings that all versions have in common and that the preview depends on."""
    return replace(settings, variant=1, output="")


def _describe_size(width: int, height: int) -> dict[str, Any]:
    return {"width": width, "height": height, "channels": 4, "depth": "u8", "space": "srgb"}


def _create_pixbuf(pixels: bytes, width: int, height: int) -> GdkPixbuf.Pixbuf:
    rgb = GdkPixbuf.Colorspace.RGB
    return GdkPixbuf.Pixbuf.new_from_bytes(GLib.Bytes.new(pixels), rgb, True, 8, width, height, width * 4)
