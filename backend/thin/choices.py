"""What the user chooses in a host's dialog, in the same words everywhere."""

from __future__ import annotations

from .protocol import MAX_REFERENCE_SIDE, ThinError

TITLE = "Harmonize"
BLURB = "Fit the layer's colours and light to the picture it was pasted into."

BELOW = "below"
WHOLE_IMAGE = "image"
CHOSEN_LAYER = "layer"
COMPARE_WITH = {
    BELOW: "Everything visible below",
    WHOLE_IMAGE: "Everything visible, above and below",
    CHOSEN_LAYER: "A chosen layer",
}
"""What the layer is compared with: name of the choice, and what it says."""

HIDE_ORIGINAL = "hide"
KEEP_ORIGINAL = "keep"
REPLACE = "replace"
OUTPUT = {
    HIDE_ORIGINAL: "New layer, the original hidden",
    KEEP_ORIGINAL: "New layer, the original stays visible",
    REPLACE: "Replace this layer's pixels",
}
"""Where the result goes: name of the choice, and what it says. Not every host can do each."""

CLEAN_EDGES = "Clean the &edges"
"""With Qt's mark before the letter of its shortcut; GTK's is an underscore."""
CLEAN_EDGES_HELP = "Takes the colours of the object's old background out of its soft edge first."
STRENGTH_HELP = "0 leaves the layer as it is, 1 goes all the way."
COMPARE_HELP = "The part of the picture whose colours and light the layer takes on."
OUTPUT_HELP = "A new layer lies directly above, in the same place, with the same transparency."

OPAQUE = "The layer has no transparency and nothing is selected, so there is no telling what the object is."
OPAQUE_HINT = "Erase the background around the object, or select the object, and try again."


def make_result_name(layer_name: str) -> str:
    """The new layer's name."""
    return f"{layer_name} (harmonized)"


def compute_reference_size(width: int, height: int) -> tuple[int, int]:
    """Width and height at which a canvas of so many pixels is sent as the reference: itself, or a smaller one."""
    scale = min(1.0, MAX_REFERENCE_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def format_error(error: ThinError) -> str:
    """A failure as the host shows it: what went wrong, and what to do on a line of its own."""
    return f"{error.message}\n\n{error.hint}".strip()
