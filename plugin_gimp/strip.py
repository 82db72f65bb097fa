"""The strip of versions: a thumbnail of each, of which one is chosen."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import Gdk, GdkPixbuf, Gtk
from thin.choices import VERSIONS_HELP, make_version_name
from thin.protocol import MAX_VARIANTS

_SPACING = 8
_FRAME = 4
"""Pixels around a thumbnail, which the chosen one's border fills."""
_RATIO = 0.75
"""A thumbnail's height over its width."""
_STYLE = f"""
.gknet-version {{ border: 1px solid alpha(currentColor, 0.3); padding: {_FRAME - 1}px; background: none;
                  box-shadow: none; min-width: 0; min-height: 0; }}
.gknet-version:checked {{ border: {_FRAME}px solid currentColor; padding: 0; }}
.gknet-version:focus {{ outline: 1px dashed currentColor; outline-offset: 2px; }}
.gknet-version image {{ padding: 0; margin: 0; }}
.gknet-version label {{ background-color: rgba(0, 0, 0, 0.7); color: white; padding: 1px 6px; }}
"""


class VersionStrip:
    """Up to five thumbnails, which take their room also before there is a picture. The arrow keys choose among them.

    widget: the widget for the dialog.
    width: the strip's, in pixels.   on_choose: called with the number, from 1, that the user chose.
    """

    def __init__(self, width: int, on_choose: Callable[[int], object]) -> None:
        self._on_choose = on_choose
        self._count = 0
        across = (width - (MAX_VARIANTS - 1) * _SPACING) // MAX_VARIANTS
        self.widget = Gtk.Box(spacing=_SPACING)
        self.widget.set_size_request(width, -1)
        style = Gtk.CssProvider()
        style.load_from_data(_STYLE.encode())
        self._thumbnails: list[_Thumbnail] = []
        for number in range(1, MAX_VARIANTS + 1):
            group = self._thumbnails[0].button if self._thumbnails else None
            thumbnail = _Thumbnail(number, group, across, style)
            thumbnail.button.connect("clicked", self._click, number)
            thumbnail.button.connect("key-press-event", self._press_key, number)
            self._thumbnails.append(thumbnail)
            self.widget.pack_start(thumbnail.button, False, False, 0)
        self._show_thumbnails()

    def show_versions(self, probabilities: list[float], pictures: list[GdkPixbuf.Pixbuf | None], number: int) -> None:
        """Show a picture for each probability, and mark a version as chosen, from 1. One alone is hidden."""
        self._count = len(probabilities) if len(probabilities) > 1 else 0
        for thumbnail in self._thumbnails:
            if thumbnail.number <= self._count:
                thumbnail.show_picture(pictures[thumbnail.number - 1], probabilities[thumbnail.number - 1])
            thumbnail.mark(thumbnail.number == number)
        self._show_thumbnails()

    def focus(self) -> bool:
        """Give the keyboard to the chosen version. Return True, as a handler that has done the work."""
        for thumbnail in self._thumbnails:
            if thumbnail.button.get_active():
                thumbnail.button.grab_focus()
        return True

    def _show_thumbnails(self) -> None:
        """Show those that there are. The first one keeps the strip's height while there is none."""
        for thumbnail in self._thumbnails:
            thumbnail.button.set_visible(thumbnail.number <= max(1, self._count))
        self._thumbnails[0].button.set_opacity(1.0 if self._count else 0.0)
        self._thumbnails[0].button.set_sensitive(self._count > 0)

    def _click(self, button: Gtk.RadioButton, number: int) -> None:
        if button.get_active():
            self._on_choose(number)

    def _press_key(self, _: Gtk.Widget, event: Gdk.EventKey, number: int) -> bool:
        """Choose a neighbour with the arrow keys, as in any group of radio buttons."""
        step = {Gdk.KEY_Left: -1, Gdk.KEY_Right: 1}.get(event.keyval)
        if step is None:
            return False
        if 1 <= number + step <= self._count:
            self._on_choose(number + step)
            self.focus()
        return True


class _Thumbnail:
    """A button with the picture and number of one version.   width: its own, in pixels."""

    def __init__(self, number: int, group: Gtk.RadioButton | None, width: int, style: Gtk.CssProvider) -> None:
        self.number = number
        self._room = (width - 2 * _FRAME, round(width * _RATIO) - 2 * _FRAME)
        self._shown: GdkPixbuf.Pixbuf | None = None
        self._image, self._label = Gtk.Image(), Gtk.Label(halign=Gtk.Align.START, valign=Gtk.Align.START)
        self._image.set_size_request(*self._room)
        overlay = Gtk.Overlay()
        overlay.add(self._image)
        overlay.add_overlay(self._label)
        overlay.show_all()
        self.button = Gtk.RadioButton.new_from_widget(group)
        self.button.set_mode(False)  # no circle
        self.button.set_no_show_all(True)
        self.button.add(overlay)
        self.button.get_style_context().add_class("gknet-version")
        for widget in (self.button, self._image, self._label):
            widget.get_style_context().add_provider(style, Gtk.STYLE_PROVIDER_PRIORITY_USER)

    def show_picture(self, picture: GdkPixbuf.Pixbuf | None, probability: float) -> None:
        """Show a picture, or None for none yet."""
        name = make_version_name(self.number, probability)
        self.button.get_accessible().set_name(name)
        self.button.set_tooltip_text(f"{name}\n{VERSIONS_HELP}")
        if picture is not None and picture is not self._shown:
            self._shown = picture
            scale = min(self._room[0] / picture.get_width(), self._room[1] / picture.get_height())
            size = (max(1, round(side * scale)) for side in (picture.get_width(), picture.get_height()))
            self._image.set_from_pixbuf(picture.scale_simple(*size, GdkPixbuf.InterpType.BILINEAR))

    def mark(self, is_chosen: bool) -> None:
        """Mark the version as the chosen one, or not."""
        if is_chosen:
            self.button.set_active(True)
        self.button.set_can_focus(is_chosen)  # Tab passes the others by
        self._label.set_markup(f"<b>{self.number} ✓</b>" if is_chosen else str(self.number))
