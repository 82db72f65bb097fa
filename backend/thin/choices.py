"""The choices and texts of the dialog, the same in every host."""

from __future__ import annotations

from .protocol import MAX_REFERENCE_SIDE, ThinError

TITLE = "Harmonize"
BLURB = "Match the layer's colours and light to the image it was pasted into."

BELOW = "below"
WHOLE_IMAGE = "image"
CHOSEN_LAYER = "layer"
COMPARE_WITH = {
    BELOW: "Everything visible below",
    WHOLE_IMAGE: "Everything visible, above and below",
    CHOSEN_LAYER: "A chosen layer",
}
"""What the layer is compared with: each choice and its label."""

HIDE_ORIGINAL = "hide"
KEEP_ORIGINAL = "keep"
REPLACE = "replace"
OUTPUT = {
    HIDE_ORIGINAL: "New layer, hide the original",
    KEEP_ORIGINAL: "New layer, keep the original visible",
    REPLACE: "Replace this layer's pixels",
}
"""Where the result goes: each choice and its label. Not every host offers all of them."""

CLEAN_EDGES = "Clean the &edges"
"""Qt's & precedes the shortcut's letter; GTK uses an underscore instead."""
CLEAN_EDGES_HELP = "Remove the colours of the old background from the object's soft edge first."
STRENGTH_HELP = "0 leaves the layer unchanged, 1 applies the full effect."
COMPARE_HELP = "The part of the image whose colours and light the layer takes on."
OUTPUT_HELP = "A new layer is placed directly above, at the same position and with the same transparency."

VERSIONS = "&Versions"
VERSIONS_HELP = (
    "Often a scene does not show which colours an object should have. Version 1 is the default; the others follow, "
    "most likely first.\nChoose with the mouse, the arrow keys, or the keys 1 to 5."
)
TRIMS = {"brightness": "&Brightness", "warmth": "&Warmth", "saturation": "S&aturation"}
"""The labels of the trims."""
TRIMS_HELP = {
    "brightness": "Makes the harmonized object darker or brighter.",
    "warmth": "Makes the harmonized object bluer or more orange.",
    "saturation": "Makes the colours of the harmonized object paler or stronger.",
}
RESET_HELP = "Double-click to reset it to 0."

OPAQUE = "The layer has no transparency and nothing is selected, so the object is unknown."
OPAQUE_HINT = "Erase the background around the object, or select the object, and try again."


def make_result_name(layer_name: str) -> str:
    """Return the new layer's name."""
    return f"{layer_name} (harmonized)"


def make_version_name(number: int, probability: float) -> str:
    """Return a version's name for tool tips and screen readers.   number: from 1.   probability: in [0, 1]."""
    return f"Version {number}, {round(100 * probability)} % likely"


def format_missing_version(number: int, count: int) -> str:
    """Return a sentence for a remembered version that a layer does not have.   count: how many it has."""
    have = "only one version" if count == 1 else f"only {count} versions"
    return f"This layer has {have}, so version 1 is used instead of version {number}."


def format_layer_progress(number: int, count: int, name: str, text: str) -> str:
    """Return the progress of one of several layers.   number: from 1.   text: its own progress, or ""."""
    return f"{number} of {count}: {name}\n{text}".strip()


def format_topmost(name: str, count: int) -> str:
    """Return a sentence on which of several layers a dialog previews."""
    return f"Harmonizes {count} layers, from the lowest up. The preview shows the topmost, “{name}”."


def format_left_out(name: str, error: ThinError) -> str:
    """Return a sentence on a layer that can't be harmonized, while others are."""
    return f"“{name}” was left out: {error.message}"


def compute_reference_size(width: int, height: int) -> tuple[int, int]:
    """Return the width and height, at most the canvas's own, at which a canvas is sent as the reference."""
    scale = min(1.0, MAX_REFERENCE_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def format_error(error: ThinError) -> str:
    """Return an error's message and, after a blank line, its hint, to show in the host."""
    return f"{error.message}\n\n{error.hint}".strip()
