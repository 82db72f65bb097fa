"""The user's last choices, stored in Krita's settings."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from krita import Krita

from .qt import QtCore
from .thin.choices import BELOW, CHOSEN_LAYER, COMPARE_WITH, HIDE_ORIGINAL, KEEP_ORIGINAL
from .thin.protocol import BAD_REQUEST, ThinError

GROUP = "gknet_harmonize"

OUTPUTS = (KEEP_ORIGINAL, HIDE_ORIGINAL)
"""Hiding is not the default, because Krita's undo removes the new layer but doesn't show the original again. Replacing
pixels is not offered, because it could not be undone at all."""


@dataclass(frozen=True)
class Values:
    """The dialog's values. The defaults are those of the first run.

    strength: 0..1.   compare, output: of `choices`.   layer, layer_name: the chosen layer's id and name, or "".
    """

    strength: float = 1.0
    compare: str = BELOW
    layer: str = ""
    layer_name: str = ""
    clean_edges: bool = False
    output: str = KEEP_ORIGINAL

    @property
    def options(self) -> dict[str, Any]:
        """The protocol's `options`."""
        return {"strength": self.strength, **({"clean_edges": True} if self.clean_edges else {})}

    def find_chosen_layer(self, document: Any) -> Any | None:
        """Return the layer to compare with, or None if none was chosen.

        Raise ThinError (`bad_request`) if the document has no such layer.
        """
        if self.compare != CHOSEN_LAYER:
            return None
        node = document.nodeByUniqueID(QtCore.QUuid(self.layer)) if self.layer else None
        if node is None:
            raise ThinError(
                BAD_REQUEST,
                f"The layer to compare with, “{self.layer_name}”, is not in this image.",
                "Open Filter → Harmonize… and choose another layer.",
            )
        return node


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
    )


def save_values(values: Values) -> None:
    """Store the values for the next run."""
    for name, value in asdict(values).items():
        Krita.instance().writeSetting(GROUP, name, str(value))
