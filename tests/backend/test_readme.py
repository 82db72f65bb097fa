"""The README's script for the backend works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_the_script_harmonizes_a_layer_through_a_backend_that_it_starts(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = (block for block in blocks if "from backend import Client" in block)
    photo, cup = skimage.data.astronaut(), skimage.data.coffee()[100:300, 150:400] // 2  # in half the light
    rows, columns = np.mgrid[: cup.shape[0], : cup.shape[1]]
    alpha = np.where((rows - 100) ** 2 + (columns - 125) ** 2 < 90**2, 255, 0).astype(np.uint8)
    Image.fromarray(np.asarray(Image.fromarray(photo).resize((800, 600)))).save(tmp_path / "photo.jpg")
    Image.fromarray(np.dstack([cup, alpha])).save(tmp_path / "cutout.png")
    environment = {**os.environ, "GKNET_CONNECTION": str(tmp_path / "run" / "backend.json")}
    environment["PYTHONPATH"] = str(ROOT)
    environment["XDG_STATE_HOME"] = str(tmp_path)
    try:
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=120)
    finally:
        subprocess.run([sys.executable, "-m", "backend.cli", "stop"], cwd=tmp_path, env=environment, check=True)
    with Image.open(tmp_path / "harmonized-layer.png") as written:
        result = np.asarray(written)
    assert np.array_equal(result[..., 3], alpha)
    inside = alpha > 0
    assert np.abs(result[..., :3].astype(int) - cup)[inside].mean() > 1
    assert not (tmp_path / "run" / "backend.json").exists()
