"""The preview in the dialog: a small copy of the layer is harmonized without blocking the interface."""

from __future__ import annotations

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

SIDE = 280
"""Maximum pixels of each picture's long side."""
_TICK_MS = 50
_FORMAT = "R'G'B'A u8"
"""sRGB for every image, as GIMP shows it on a screen without a profile."""


class Preview:
    """Two pictures side by side, and a message if there is no second one.

    widget: the widget for the dialog.   Everything but the requests runs on the interface's thread.
    """

    def __init__(self, image: Gimp.Image, layer: Gimp.Layer, backend: Backend) -> None:
        self._image, self._layer, self._backend = image, layer, backend
        self._scene: _Scene | None = None
        self._fits: dict[tuple[str, int], str] = {}
        self._wanted: Settings | None = None
        self._job: tuple[Job, Settings] | None = None
        self._before, self._after = Gtk.Image(), Gtk.Image()
        self._note = Gtk.Label(wrap=True, max_width_chars=60, width_chars=60, xalign=0, yalign=0, lines=3)
        self._note.set_size_request(-1, 44)  # two lines, so that the dialog doesn't grow with a message
        self.widget = self._create_widget()
        self._timer = GLib.timeout_add(_TICK_MS, self._poll)

    def show(self, settings: Settings) -> None:
        """Show the result of these settings as soon as possible. Only the last call counts."""
        self._wanted = settings
        if self._job is not None and _get_scene_key(self._job[1]) != _get_scene_key(settings):
            self._job[0].cancel()

    def close(self) -> None:
        """Stop all work for the preview."""
        GLib.source_remove(self._timer)
        if self._job is not None:
            self._job[0].cancel()

    def _poll(self) -> bool:
        """Show a finished result and start the next request. Called twenty times a second."""
        if self._job is not None and self._job[0].is_done:
            (job, settings), self._job = self._job, None
            self._take_answer(job, settings)
        if self._job is not None:
            if not self._fits:  # later requests end before their text could be read
                self._show_note(self._job[0].text)
        elif self._wanted is not None:
            settings, self._wanted = self._wanted, None
            try:
                self._job = (self._start(settings), settings)
            except ThinError as error:
                self._show_error(error)
        return True

    def _start(self, settings: Settings) -> Job:
        if self._scene is None:
            self._scene = _Scene(self._image, self._layer)
            self._before.set_from_pixbuf(self._scene.draw_layer(self._scene.pixels))
        scene = self._scene
        asked: dict[str, Any] = {"layer": scene.fields, "layer_bytes": scene.pixels, "selection": scene.selection}
        request.check_has_object(scene.has_shape, scene.selection)
        fit = self._fits.get(_get_scene_key(settings))
        if fit is not None:
            return self._backend.harmonize(**asked, options={**settings.options, "fit": fit})
        with backdrop.render_backdrop(self._image, self._layer, settings.compare, settings.chosen) as visible:
            reference, pixels = scene.read_reference(visible)
        return self._backend.harmonize(**asked, options=settings.options, reference=reference, reference_bytes=pixels)

    def _take_answer(self, job: Job, settings: Settings) -> None:
        try:
            result, pixels = job.get_answer()
        except ThinError as error:
            if error.code == UNKNOWN_FIT and self._fits.pop(_get_scene_key(settings), None):
                self._wanted = self._wanted or settings
            elif error.code != CANCELLED:
                self._show_error(error)
            return
        assert self._scene is not None
        self._fits[_get_scene_key(settings)] = result["fit"]
        self._after.set_from_pixbuf(self._scene.draw_layer(bytes(pixels)))
        self._show_note("\n".join(result["warnings"]))

    def _show_error(self, error: ThinError) -> None:
        self._after.set_from_icon_name("dialog-warning", Gtk.IconSize.DIALOG)
        self._show_note(format_error(error).replace("\n\n", "\n"))

    def _show_note(self, text: str) -> None:
        if self._note.get_text() != text:
            self._note.set_text(text)

    def _create_widget(self) -> Gtk.Widget:
        grid = Gtk.Grid(row_spacing=6, column_spacing=12, column_homogeneous=True, halign=Gtk.Align.CENTER)
        # The dialog must not grow when the pictures appear. Effects may make them larger than this.
        height = max(_find_region(self._image, self._layer)[1][3], SIDE * 3 // 4)
        for column, (text, picture) in enumerate((("Before", self._before), ("After", self._after))):
            picture.set_size_request(SIDE, height)
            grid.attach(Gtk.Label(label=text), column, 0, 1, 1)
            grid.attach(picture, column, 1, 1, 1)
        grid.attach(self._note, 0, 2, 2, 1)
        return grid


class _Scene:
    """The scaled layer, and a scaled picture of the canvas around it.

    pixels, fields: the layer's, in the protocol's form.   selection: one byte per pixel, or None.
    has_shape: whether some of the layer may be transparent.
    """

    def __init__(self, image: Gimp.Image, layer: Gimp.Layer) -> None:
        with backdrop.render_layer(image, layer) as seen, backdrop.apply_mask(seen) as bare:
            self.has_shape = request.has_shape(seen)
            self._scale, self._region = _find_region(image, seen)
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


def _find_region(image: Gimp.Image, layer: Gimp.Layer) -> tuple[float, tuple[int, int, int, int]]:
    """Return the pictures' scale and the region they show: left, top, width, height in their pixels."""
    _, left, top = layer.get_offsets()
    box = (left, top, layer.get_width(), layer.get_height())
    region = find_surroundings(box, image.get_width(), image.get_height())
    scale = min(1.0, SIDE / max(region[2:]))
    return scale, (round(region[0] * scale), round(region[1] * scale), *_scale_size(*region[2:], scale))


def _scale_size(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _get_scene_key(settings: Settings) -> tuple[str, int]:
    """Return the settings that a fit depends on: not the strength, nor the edge's colours, which hardly matter."""
    return settings.compare, settings.chosen.get_id() if settings.chosen is not None else 0


def _describe_size(width: int, height: int) -> dict[str, Any]:
    return {"width": width, "height": height, "channels": 4, "depth": "u8", "space": "srgb"}


def _create_pixbuf(pixels: bytes, width: int, height: int) -> GdkPixbuf.Pixbuf:
    rgb = GdkPixbuf.Colorspace.RGB
    return GdkPixbuf.Pixbuf.new_from_bytes(GLib.Bytes.new(pixels), rgb, True, 8, width, height, width * 4)
