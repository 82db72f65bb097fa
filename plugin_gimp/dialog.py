"""The dialog: a preview and its versions on the left, and the settings on the right."""

from __future__ import annotations

from typing import Any

from engine_window import EngineWindow
from gi.repository import Gdk, Gimp, GimpUi, GLib, GObject, Gtk, Pango
from thin import diagnostics
from thin.choices import CHOSEN_LAYER, RESET_HELP, TITLE, TRIMS, TRIMS_HELP, format_topmost
from thin.engine.offer import MANAGE, MANAGE_HELP, MANAGE_NEWER, Offer, make_offer
from thin.job import Backend
from versions import Versions

_SIDE = 280
"""Maximum pixels of each picture's long side on the smallest screen."""
_SMALL_SCREEN = (1280, 720)
_MOST_GROWTH = 1.6
"""How much larger the pictures are on a large screen, at most."""
_SETTINGS_WIDTH = 440
"""Minimum width of the settings in pixels."""
_COPIED_FOR_NOW = "Copied: paste it before closing"
"""Short enough for two buttons side by side in the settings' width."""
_MOST_LINES = 6
"""Lines of text on several layers, so that the dialog fits the smallest screen. A tooltip has all of it."""
_MOST_CHARACTERS = 40
"""Width of that text and of layers' names."""


def show_dialog(
    procedure: Gimp.Procedure,
    config: Gimp.ProcedureConfig,
    image: Gimp.Image,
    layers: list[Gimp.Layer],
    left_out: list[str],
    backend: Backend,
    offer: Offer,
) -> bool:
    """Show the dialog and store the user's choices in `config`. Return False if it was cancelled.

    layers: lowest first; the last one is previewed.   left_out: sentences on layers that can't be harmonized.
    offer: what the engine window would offer.
    """
    dialog = GimpUi.ProcedureDialog.new(procedure, config, TITLE)
    dialog.set_ok_label("_Harmonize")
    side = _choose_side(dialog)
    versions = Versions(config, image, layers[-1], backend, side)
    chooser = _LayerChooser(config, image, layers)
    copy = _CopyDiagnostics(backend.host)
    tools = Gtk.Box(spacing=6)
    for button in (copy.widget, _create_engine_button(dialog, versions, offer)):
        tools.pack_start(button, False, False, 0)
    columns = Gtk.Box(spacing=18)
    columns.pack_start(versions.widget, True, False, 0)
    topmost = [format_topmost(layers[-1].get_name(), len(layers))] if len(layers) > 1 else []
    settings = _lay_out_settings(dialog, " ".join(topmost + left_out), chooser, tools)
    columns.pack_start(settings, True, True, 0)
    columns.show_all()
    dialog.get_content_area().pack_start(columns, True, True, 0)
    dialog.get_scale_entry("strength", 1.0).get_range().grab_focus()
    dialog.connect("key-press-event", versions.press_key)

    def refresh(*_: Any) -> None:
        chooser.update()
        versions.update()

    names = ("strength", "variant", *TRIMS, "compare", "reference", "clean-edges")
    handlers = [config.connect(f"notify::{name}", refresh) for name in names]
    refresh()
    try:
        return bool(dialog.run())
    finally:
        for handler in handlers:
            config.disconnect(handler)
        versions.close()
        copy.close()
        dialog.destroy()


def _choose_side(dialog: Gtk.Dialog) -> int:
    """Return the maximum side of the pictures that suits the screen with the pointer."""
    display = dialog.get_display()
    _, x, y = display.get_default_seat().get_pointer().get_position()
    room = display.get_monitor_at_point(x, y).get_workarea()
    growth = min(room.width / _SMALL_SCREEN[0], room.height / _SMALL_SCREEN[1])
    return round(_SIDE * min(max(growth, 1.0), _MOST_GROWTH))


def _lay_out_settings(
    dialog: GimpUi.ProcedureDialog, text: str, chooser: _LayerChooser, tools: Gtk.Widget
) -> Gtk.Widget:
    """Return the column of settings.   text: to show above them, or "".   tools: to show below them."""
    column = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
    column.set_size_request(_SETTINGS_WIDTH, -1)
    if text:
        label = Gtk.Label(label=text, tooltip_text=text, wrap=True, max_width_chars=_MOST_CHARACTERS, xalign=0)
        label.set_lines(_MOST_LINES)
        label.set_ellipsize(Pango.EllipsizeMode.END)
        column.pack_start(label, False, False, 0)
    # Sliders instead of spin buttons, and combo boxes in every version: GIMP 3.2 would show radio buttons.
    strength = dialog.get_scale_entry("strength", 1.0)
    strength.get_range().get_accessible().set_name("Strength")
    column.pack_start(strength, False, False, 0)
    for name in TRIMS:
        entry = dialog.get_scale_entry(name, 1.0)
        _make_resettable(entry, TRIMS[name].replace("&", ""), f"{TRIMS_HELP[name]}\n{RESET_HELP}")
        column.pack_start(entry, False, False, 0)
    compare = dialog.get_widget("compare", Gtk.ComboBox.__gtype__)
    chooser.align_label(compare.get_label())
    clean = dialog.get_widget("clean-edges", GObject.TYPE_NONE)
    output = dialog.get_widget("output", Gtk.ComboBox.__gtype__)
    for widget in (compare, chooser.widget, clean, output, tools):
        column.pack_start(widget, False, False, 0)
    return column


def _make_resettable(entry: GimpUi.ScaleEntry, name: str, help_text: str) -> None:
    """Make a double click on a slider set it to 0.   name: for screen readers."""
    is_double = False

    def reset(_: Gtk.Widget, event: Gdk.EventButton) -> bool:
        """Reset when the button is released: until then, the slider follows a hand that moves a little."""
        nonlocal is_double
        if is_double and event.type == Gdk.EventType.BUTTON_RELEASE:
            entry.set_value(0.0)
        is_double = event.type == Gdk.EventType.DOUBLE_BUTTON_PRESS and event.button == Gdk.BUTTON_PRIMARY
        return False

    entry.set_increments(1.0, 10.0)
    for signal in ("button-press-event", "button-release-event"):
        entry.get_range().connect(signal, reset)
    entry.get_range().get_accessible().set_name(name)
    entry.set_tooltip_text(help_text)


def _create_engine_button(dialog: Gtk.Dialog, versions: Versions, offer: Offer) -> Gtk.Widget:
    """Return the button that opens the engine window. When that closes, the preview is asked again."""
    button = Gtk.Button(use_underline=True, tooltip_text=MANAGE_HELP)

    def update_label(current: Offer) -> None:
        button.set_label((MANAGE_NEWER if current.is_update else MANAGE).replace("&", "_"))

    def open_window(_: Gtk.Button) -> None:
        versions.pause()  # its requests would start the backend that is to be stopped
        window = EngineWindow(make_offer(), dialog)
        window.run()
        update_label(window.offer)
        versions.update()

    update_label(offer)
    button.connect("clicked", open_window)
    return button


class _LayerChooser:
    """A chooser for another layer of the image, sensitive while comparing with a chosen layer."""

    def __init__(self, config: Gimp.ProcedureConfig, image: Gimp.Image, harmonized: list[Gimp.Layer]) -> None:
        self._config = config
        taken = {layer.get_id() for layer in harmonized}
        others = (layer for layer in _list_layers(image.get_layers()) if layer.get_id() not in taken)
        self._layers = {str(other.get_id()): other for other in others}
        self._combo = Gtk.ComboBoxText(hexpand=True)
        for cell in self._combo.get_cells():
            cell.set_property("ellipsize", Pango.EllipsizeMode.END)
            cell.set_property("max-width-chars", _MOST_CHARACTERS)
        for number, other in self._layers.items():
            self._combo.append(number, other.get_name())
        self._label = Gtk.Label(label="La_yer", use_underline=True, xalign=0, mnemonic_widget=self._combo)
        self._labels = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
        self._labels.add_widget(self._label)
        self.widget = Gtk.Box(spacing=6)
        self.widget.pack_start(self._label, False, False, 0)
        self.widget.pack_start(self._combo, True, True, 0)
        last = config.get_property("reference")  # of the last run, perhaps of another image
        chosen = str(last.get_id()) if last is not None else ""
        if chosen in self._layers:
            self._combo.set_active_id(chosen)
        else:
            self._combo.set_active(0)
        self._combo.connect("changed", lambda _: self.update())

    def align_label(self, other: Gtk.Label) -> None:
        """Make the label as wide as another one."""
        self._labels.add_widget(other)

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
        self.widget.set_label(diagnostics.COPIED if kept else _COPIED_FOR_NOW)
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
