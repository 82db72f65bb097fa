"""The dialog: strength, what to compare with, where the result goes, and a preview."""

from __future__ import annotations

from typing import Any

from gi.repository import Gdk, Gimp, GimpUi, GLib, Gtk
from preview import Preview
from request import read_settings
from thin import diagnostics
from thin.choices import CHOSEN_LAYER, RESET_HELP, TITLE, TRIMS_HELP
from thin.job import Backend
from thin.protocol import TRIMS


def show_dialog(
    procedure: Gimp.Procedure,
    config: Gimp.ProcedureConfig,
    image: Gimp.Image,
    layer: Gimp.Layer,
    backend: Backend,
) -> bool:
    """Show the dialog and store the user's choices in `config`. Return False if it was cancelled."""
    dialog = GimpUi.ProcedureDialog.new(procedure, config, TITLE)
    dialog.set_ok_label("_Harmonize")
    preview = Preview(image, layer, backend)
    preview.widget.set_margin_bottom(6)
    dialog.get_content_area().pack_start(preview.widget, False, False, 0)
    dialog.get_scale_entry("strength", 1.0)  # a slider instead of a spin button
    for name in TRIMS:
        _make_resettable(dialog.get_scale_entry(name, 1.0), f"{TRIMS_HELP[name]}\n{RESET_HELP}")
    # Combo boxes in every version: GIMP 3.2 would show radio buttons for so few choices.
    compare = dialog.get_widget("compare", Gtk.ComboBox.__gtype__)
    dialog.get_widget("output", Gtk.ComboBox.__gtype__)
    dialog.fill(["strength", *TRIMS, "compare"])
    labels = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
    labels.add_widget(compare.get_label())
    chooser = _LayerChooser(config, image, layer, labels)
    dialog.get_content_area().pack_start(chooser.widget, False, False, 0)
    dialog.fill(["clean-edges", "output"])
    copy = _CopyDiagnostics(backend.host)
    dialog.get_content_area().pack_start(copy.widget, False, False, 0)

    def refresh(*_: Any) -> None:
        chooser.update()
        preview.show(read_settings(config))

    names = ("strength", *TRIMS, "compare", "reference", "clean-edges")
    handlers = [config.connect(f"notify::{name}", refresh) for name in names]
    refresh()
    preview.widget.show_all()
    chooser.widget.show_all()
    copy.widget.show_all()
    try:
        return bool(dialog.run())
    finally:
        for handler in handlers:
            config.disconnect(handler)
        preview.close()
        copy.close()
        dialog.destroy()


def _make_resettable(entry: GimpUi.ScaleEntry, help_text: str) -> None:
    """Make a double click on a slider set it to 0."""

    def press(_: Gtk.Widget, event: Gdk.EventButton) -> bool:
        is_double = event.type == Gdk.EventType.DOUBLE_BUTTON_PRESS and event.button == Gdk.BUTTON_PRIMARY
        if is_double:
            entry.set_value(0.0)
        return bool(is_double)

    entry.set_increments(1.0, 10.0)
    entry.get_range().connect("button-press-event", press)
    entry.set_tooltip_text(help_text)


class _LayerChooser:
    """A chooser for another layer of the image, sensitive while comparing with a chosen layer."""

    def __init__(
        self, config: Gimp.ProcedureConfig, image: Gimp.Image, layer: Gimp.Layer, labels: Gtk.SizeGroup
    ) -> None:
        self._config = config
        self._layers = {
            str(other.get_id()): other for other in _list_layers(image.get_layers()) if other.get_id() != layer.get_id()
        }
        self._combo = Gtk.ComboBoxText(hexpand=True)
        for number, other in self._layers.items():
            self._combo.append(number, other.get_name())
        label = Gtk.Label(label="_Layer", use_underline=True, xalign=0, mnemonic_widget=self._combo)
        labels.add_widget(label)
        self.widget = Gtk.Box(spacing=6)
        self.widget.pack_start(label, False, False, 0)
        self.widget.pack_start(self._combo, True, True, 0)
        last = config.get_property("reference")  # of the last run, perhaps of another image
        chosen = str(last.get_id()) if last is not None else ""
        if chosen in self._layers:
            self._combo.set_active_id(chosen)
        else:
            self._combo.set_active(0)
        self._combo.connect("changed", lambda _: self.update())

    def update(self) -> None:
        """Synchronize the widget and the settings."""
        wanted = self._config.get_property("compare") == CHOSEN_LAYER
        self.widget.set_sensitive(wanted and bool(self._layers))
        chosen = self._layers.get(self._combo.get_active_id()) if wanted else None
        last = self._config.get_property("reference")
        if (last and last.get_id()) != (chosen and chosen.get_id()):
            self._config.set_property("reference", chosen)


class _CopyDiagnostics:
    """A button that copies the diagnostics to the clipboard without blocking the dialog."""

    def __init__(self, host: tuple[str, str]) -> None:
        self._host = host
        self._timer = 0
        self.widget = Gtk.Button(label=diagnostics.COPY.replace("&", "_"), use_underline=True, halign=Gtk.Align.START)
        self.widget.set_tooltip_text(diagnostics.COPY_HELP)
        self.widget.connect("clicked", self._start)

    def close(self) -> None:
        """Stop, and store the clipboard so that the text outlives the dialog."""
        if self._timer:
            GLib.source_remove(self._timer)
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).store()

    def _start(self, _: Gtk.Button) -> None:
        self.widget.set_sensitive(False)
        self.widget.set_label(diagnostics.COPYING)
        self._diagnosis = diagnostics.Diagnosis(self._host)
        self._timer = GLib.timeout_add(50, self._poll)

    def _poll(self) -> bool:
        if not self._diagnosis.is_done:
            return GLib.SOURCE_CONTINUE
        self._timer = 0
        Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text(self._diagnosis.text, -1)
        # The text is lost when this process ends, unless the desktop stores it.
        kept = self.widget.get_display().supports_clipboard_persistence()
        until = "" if kept else ": paste before you close this window"
        self.widget.set_label(diagnostics.COPIED + until)
        self.widget.set_sensitive(True)
        return GLib.SOURCE_REMOVE


def _list_layers(layers: list[Gimp.Layer]) -> list[Gimp.Layer]:
    """Return the layers and those in their groups, in the order of the layer list."""
    found = []
    for layer in layers:
        found.append(layer)
        if layer.is_group():
            found += _list_layers(layer.get_children())
    return found
