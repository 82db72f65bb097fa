"""The dialog's left side: the preview, with the strip of versions below it, and the keys that choose one."""

from __future__ import annotations

from gi.repository import Gdk, Gimp, Gtk
from preview import GAP, Preview
from request import read_settings
from strip import VersionStrip
from thin.choices import VERSIONS, VERSIONS_HELP, format_missing_version
from thin.job import Backend


class Versions:
    """The preview and the versions of a layer.   widget: the widget for the dialog.

    config: gets the chosen version.   side: maximum pixels of each picture's long side.
    """

    def __init__(
        self, config: Gimp.ProcedureConfig, image: Gimp.Image, layer: Gimp.Layer, backend: Backend, side: int
    ) -> None:
        self._config = config
        width = 2 * side + GAP
        self._preview = Preview(image, layer, backend, side, self._show)
        self._strip = VersionStrip(width, self._choose)
        label = Gtk.Label(label=VERSIONS.replace("&", "_"), use_underline=True, xalign=0)
        label.set_mnemonic_widget(self._strip.widget)
        label.set_tooltip_text(VERSIONS_HELP)
        self._strip.widget.connect("mnemonic-activate", lambda *_: self._strip.focus())
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        for part in (self._preview.widget, label, self._strip.widget, self._preview.note):
            self.widget.pack_start(part, False, False, 0)

    def update(self) -> None:
        """Show what the settings now are."""
        self._preview.show(read_settings(self._config))
        self._show_strip()

    def press_key(self, dialog: Gtk.Dialog, event: Gdk.EventKey) -> bool:
        """Choose a version by its number, unless that is typed into an entry."""
        # On French keyboards, digits need Shift.
        modifiers = Gtk.accelerator_get_default_mod_mask() & ~Gdk.ModifierType.SHIFT_MASK
        if event.state & modifiers or isinstance(dialog.get_focus(), Gtk.Entry):
            return False
        number = Gdk.keyval_to_unicode(event.keyval) - ord("0")
        if not 1 <= number <= len(self._preview.probabilities):
            return False
        self._choose(number)
        return True

    def pause(self) -> None:
        """Stop all work for the preview, and forget what the engine answered, until the next `update`."""
        self._preview.pause()

    def close(self) -> None:
        """Stop all work for the preview."""
        self._preview.close()

    def _choose(self, number: int) -> None:
        self._preview.notice = ""
        self._config.set_property("variant", number)

    def _show(self) -> None:
        count, number = len(self._preview.probabilities), self._config.get_property("variant")
        if number > count:
            self._preview.notice = format_missing_version(number, count)
            self._config.set_property("variant", 1)
        self._show_strip()

    def _show_strip(self) -> None:
        preview = self._preview
        if preview.probabilities:
            pictures = [preview.get_version(number + 1) for number in range(len(preview.probabilities))]
            self._strip.show_versions(preview.probabilities, pictures, self._config.get_property("variant"))
