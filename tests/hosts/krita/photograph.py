"""The demo's photograph and its cut-out, as files for a driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gknet.cli.demo import ASTRONAUT_AT

DEMO = Path(__file__).parents[3] / "gknet" / "demo"


def write_photograph(folder: Path) -> dict[str, Any]:
    """Write them and return what the drivers want to know: `photograph`, `pasted`, both paths, and its `box`."""
    folder.mkdir(exist_ok=True)
    Image.open(DEMO / "background.jpg").convert("RGB").save(folder / "photograph.png")
    pasted = np.asarray(Image.open(DEMO / "cutout.png").convert("RGBA"))
    pasted[..., [2, 1, 0, 3]].tofile(folder / "pasted")
    box = [*ASTRONAUT_AT, pasted.shape[1], pasted.shape[0]]
    return {"photograph": str(folder / "photograph.png"), "pasted": str(folder / "pasted"), "box": box}
