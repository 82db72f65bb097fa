#!/usr/bin/env python3
"""Filters → Harmonize… for GIMP 3: its registration and a run from the dialog to the result."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gegl", "0.4")
gi.require_version("Babl", "0.1")
gi.require_version("Gtk", "3.0")
from gi.repository import Gegl, Gimp, GLib, GObject  # noqa: E402

if TYPE_CHECKING:
    from thin.engine.offer import Offer

NAME = "gknet-harmonize"

# An error here would silently remove the menu item. Report it when the plug-in is used instead.
try:
    from thin import choices
    from thin.protocol import CANCELLED, MAX_TRIM, MAX_VARIANTS, TRIMS, ThinError
except ImportError as error:
    MISSING = str(error)
else:
    MISSING = ""


class Harmonize(Gimp.PlugIn):
    """The plug-in as GIMP sees it."""

    def do_set_i18n(self, name: str) -> bool:
        """Disable translations."""
        del name
        return False

    def do_query_procedures(self) -> list[str]:
        """Return the names of our procedures."""
        return [NAME]

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        """Return the procedure with its menu item and the arguments for the dialog and unattended runs."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        mask = Gimp.ProcedureSensitivityMask
        procedure.set_sensitivity_mask(mask.DRAWABLE | mask.DRAWABLES)
        procedure.set_menu_label("_Harmonize…")
        procedure.add_menu_path("<Image>/Filters/")
        blurb = "Match the layer's colours and light to the image it was pasted into."
        # Without a help page, the dialog has no Help button.
        procedure.set_documentation(f"{blurb} Works on one or several RGB or grayscale layers.", blurb, None)
        procedure.set_attribution("The GKNet Harmonize authors", "MIT licence", "2026")
        if not MISSING:
            _add_arguments(procedure)
        return procedure


def _add_arguments(procedure: Gimp.Procedure) -> None:
    flags = GObject.ParamFlags.READWRITE
    procedure.add_double_argument("strength", "Stren_gth", choices.STRENGTH_HELP, 0.0, 1.0, 1.0, flags)
    versions = choices.VERSIONS.replace("&", "_")
    procedure.add_int_argument("variant", versions, choices.VERSIONS_HELP, 1, MAX_VARIANTS, 1, flags)
    for name in TRIMS:
        label, help_text = choices.TRIMS[name].replace("&", "_"), choices.TRIMS_HELP[name]
        procedure.add_int_argument(name, label, help_text, -MAX_TRIM, MAX_TRIM, 0, flags)
    compare = _create_choice(choices.COMPARE_WITH)
    procedure.add_choice_argument("compare", "Co_mpare with", choices.COMPARE_HELP, compare, choices.BELOW, flags)
    help_text = f"The layer to compare with, for “{choices.COMPARE_WITH[choices.CHOSEN_LAYER]}”."
    procedure.add_layer_argument("reference", "La_yer", help_text, True, flags)
    clean = choices.CLEAN_EDGES.replace("&", "_")
    procedure.add_boolean_argument("clean-edges", clean, choices.CLEAN_EDGES_HELP, False, flags)
    output = _create_choice(choices.OUTPUT)
    procedure.add_choice_argument("output", "Out_put", choices.OUTPUT_HELP, output, choices.HIDE_ORIGINAL, flags)


def _create_choice(texts: dict[str, str]) -> Gimp.Choice:
    choice = Gimp.Choice.new()
    for number, (name, text) in enumerate(texts.items()):
        choice.add(name, number, text, "")
    return choice


def run(
    procedure: Gimp.Procedure,
    mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
    data: Any,
) -> Gimp.ValueArray:
    """Run the procedure. Called by GIMP."""
    del data
    status = Gimp.PDBStatusType
    if MISSING:
        text = f"The plug-in is incomplete: {MISSING}.\n\nRun `gknet install gimp`, then start GIMP again."
        return procedure.new_return_values(status.EXECUTION_ERROR, _make_error(text))
    Gegl.init(None)  # without it, reading a buffer at a smaller scale gives zeros
    try:
        done = _harmonize_layers(procedure, mode, image, drawables, config)
    except ThinError as error:
        if error.code == CANCELLED:
            return procedure.new_return_values(status.CANCEL, None)
        return procedure.new_return_values(status.EXECUTION_ERROR, _make_error(choices.format_error(error)))
    except Exception as error:  # a bug, for which GIMP would show no message
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}\n\nPlease report this."
        return procedure.new_return_values(status.EXECUTION_ERROR, _make_error(text))
    return procedure.new_return_values(status.SUCCESS if done else status.CANCEL, None)


def _harmonize_layers(
    procedure: Gimp.Procedure,
    mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
) -> bool:
    """Harmonize the layers. Return False if the user closed the dialog. Raise ThinError if it fails."""
    import request
    from harmonizing import harmonize
    from thin.job import Backend

    if mode != Gimp.RunMode.NONINTERACTIVE:
        from gi.repository import GimpUi

        GimpUi.init(NAME)
    if mode == Gimp.RunMode.INTERACTIVE:
        offer = _ensure_engine()
        if offer is None:
            return False
        request.check_is_open(image, drawables)
    left_out: list[str] = []
    layers = request.keep_usable(image, request.find_layers(image, drawables), "", left_out)
    backend = Backend(("GIMP plug-in", Gimp.version()))
    if mode == Gimp.RunMode.INTERACTIVE:
        from dialog import show_dialog

        if not show_dialog(procedure, config, image, layers, left_out, backend, offer):
            return False
    settings = request.read_settings(config)
    layers = request.keep_usable(image, layers, settings.output, left_out)
    window = mode != Gimp.RunMode.NONINTERACTIVE
    warnings = harmonize(image, layers, settings, backend, window=window, left_out=left_out)
    for sentence in (*left_out, *warnings):
        Gimp.message(sentence)
    return True


def _ensure_engine() -> Offer | None:
    """Return what the engine window would offer, after installing the engine if there is none. None: it was closed."""
    from engine_window import EngineWindow
    from thin.engine.offer import make_offer

    offer = make_offer()
    if offer.is_ready:
        return offer
    window = EngineWindow(offer)
    return window.offer if window.run() else None


def _make_error(text: str) -> GLib.Error:
    return GLib.Error.new_literal(Gimp.PlugIn.error_quark(), text, 0)


if __name__ == "__main__":
    Gimp.main(Harmonize.__gtype__, sys.argv)
