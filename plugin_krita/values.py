"""The user's last choices, stored in Krita's settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from krita import Krita

from .qt import QtCore
from .thin.choices import BELOW, CHOSEN_LAYER, COMPARE_WITH, HIDE_ORIGINAL, KEEP_ORIGINAL
from .thin.protocol import BAD_REQUEST, MAX_TRIM, MAX_VARIANTS, TRIMS, ThinError

GROUP = "gknet_harmonize"

OUTPUTS = (KEEP_ORIGINAL, HIDE_ORIGINAL)
"""Hiding is not the default, because Krita's undo removes the new layer but doesn't show the original again. Replacing
pixels is not offered, because it could not be undone at all."""


@dataclass(frozen=True)
class Values:
    """The dialog's values. The defaults are those of the first run.

    strength: 0..1.   compare, output: of `choices`.   layer, layer_name: the chosen layer's id and name, or "".
    variant: the version, from 1 to MAX_VARIANTS.   brightness, warmth, saturation: from -MAX_TRIM to MAX_TRIM.
    """

    strength: float = 1.0
    compare: str = BELOW
    layer: str = ""
    layer_name: str = ""
    clean_edges: bool = False
    output: str = KEEP_ORIGINAL
    variant: int = 1
    brightness: int = 0
    warmth: int = 0
    saturation: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """The protocol's `options`, without those that change nothing, which an older backend may not know."""
        options: dict[str, Any] = {"strength": self.strength}
        if self.clean_edges:
            options["clean_edges"] = True
        if self.variant != 1:
            options["variant"] = self.variant
        return {**options, **{name: getattr(self, name) for name in TRIMS if getattr(self, name)}}

    def find_chosen_layer(self, document: Any) -> Any | None:
        """Return the layer to compare with, or None if none was chosen.

        Raise ThinError (`bad_request`) if the document has no such layer.
        """
        if self.compare != CHOSEN_LAYER:
            return None
        node = document.nodeByUniqueID(QtCore.QUuid(self.layer)) if self.layer else None
        if node is None:
            named = f", “{self.layer_name}”," if self.layer_name else ""
            raise ThinError(
                BAD_REQUEST,
                f"The layer to compare with{named} is not in this image.",
                "Open Filter → Harmonize… and choose another layer.",
            )
        return node


_NUMBERS = {"variant": (1, MAX_VARIANTS), **dict.fromkeys(TRIMS, (-MAX_TRIM, MAX_TRIM))}
"""The smallest and largest number of each whole number among the values."""


def read_last_values() -> Values:
    """Return the values of the last run, with defaults for values that are not valid."""
    kept = {one.name: Krita.instance().readSetting(GROUP, one.name, "") for one in fields(Values)}
    usual = Values()
    try:
        strength = float(kept["strength"])
    except ValueError:
        strength = usual.strength
    return Values(
        strength=strength if math.isfinite(strength) and 0 <= strength <= 1 else usual.strength,
        compare=kept["compare"] if kept["compare"] in COMPARE_WITH else usual.compare,
        layer=kept["layer"],
        layer_name=kept["layer_name"],
        clean_edges=kept["clean_edges"] == str(True),
        output=kept["output"] if kept["output"] in OUTPUTS else usual.output,
        **{name: _parse_number(kept[name], name, getattr(usual, name)) for name in _NUMBERS},
    )


def replace_values(values: Values, given: object) -> Values:
    """Return the values with those that a script has given to the action with `setData`.

    given: a map of `strength`, `compare`, `layer`, `clean_edges`, `output`, `variant` and trims, each optional.
    Raise ThinError (`bad_request`) for any other name or value.
    """
    if not isinstance(given, dict):
        raise ThinError(BAD_REQUEST, f"The action's data must be a dict of settings, not {given!r}.")
    for name, value in given.items():
        if name not in _ALLOWED:
            raise ThinError(BAD_REQUEST, f"Harmonize has no setting {name!r}.", f"It has {', '.join(_ALLOWED)}.")
        is_right, expected = _ALLOWED[name]
        if not is_right(value):
            raise ThinError(BAD_REQUEST, f"{name} must be {expected}, not {value!r}.")
    unnamed = {"layer_name": ""} if "layer" in given else {}  # the name belongs to the last values' layer
    return replace(values, **given, **unnamed)


def _allow_number(least: int, most: int) -> tuple[Callable[[object], bool], str]:
    return lambda value: type(value) is int and least <= value <= most, f"a whole number from {least} to {most}"


def _allow_choice(names: Collection[str]) -> tuple[Callable[[object], bool], str]:
    return lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}"


_ALLOWED: dict[str, tuple[Callable[[object], bool], str]] = {
    "strength": (lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1"),
    "compare": _allow_choice(COMPARE_WITH),
    "layer": (lambda value: isinstance(value, str), "a layer's uniqueId().toString()"),
    "clean_edges": (lambda value: isinstance(value, bool), "True or False"),
    "output": _allow_choice(OUTPUTS),
    **{name: _allow_number(*limits) for name, limits in _NUMBERS.items()},
}
"""What a script may set: whether a value is allowed, and what is."""


def _parse_number(text: str, name: str, usual: int) -> int:
    """Return a stored whole number, or the usual one if the text is not one in its range."""
    least, most = _NUMBERS[name]
    try:
        number = int(text)
    except ValueError:
        return usual
    return number if least <= number <= most else usual


def save_values(values: Values) -> None:
    """Store the values for the next run."""
    for name, value in asdict(values).items():
        Krita.instance().writeSetting(GROUP, name, str(value))
