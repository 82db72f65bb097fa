"""The scripts of docs/python.md work as printed, except the one in tests/gknet/test_own_weights.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from backend import BackendError

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture
def names() -> dict[str, Any]:
    """Return what the page takes as given: a composite, its mask, a cut-out, and a background."""
    background = np.ascontiguousarray(skimage.data.astronaut()[:300])
    rows, columns = np.mgrid[:120, :160]
    alpha = np.where((rows - 60) ** 2 + (columns - 80) ** 2 < 50**2, 255, 0).astype(np.uint8)
    mask = np.zeros((300, 512), np.uint8)
    mask[30:150, 40:200] = alpha
    return {
        "composite": np.ascontiguousarray(skimage.data.coffee()[:300, :512]),
        "mask": mask,
        "cutout": np.dstack([skimage.data.chelsea()[100:220, 100:260], alpha]),
        "background": background,
    }


def scripts() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_script_for_your_own_process_works(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(scripts()[0], PAGE, "exec"), names)
    assert capsys.readouterr().out == ""
    assert names["harmonized"].shape == names["composite"].shape
    assert np.array_equal(names["layer"][..., 3], names["cutout"][..., 3])
    changes = [np.abs(step.astype(int) - names["cutout"]).mean() for step in names["steps"]]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_the_script_for_the_background_process_works(
    backend: Any, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))
    exec(compile(scripts()[1], PAGE, "exec"), names)
    assert capsys.readouterr().out.startswith("cpu {")
    whole, half = (np.abs(names[name].astype(int) - names["cutout"]).mean() for name in ("layer", "weaker"))
    assert 0 < half < whole
    assert names["BackendError"] is BackendError


def test_the_example_of_the_protocol_harmonizes_a_layer(backend: Any, names: dict[str, Any]) -> None:
    names["connection_file"] = backend.path
    exec(compile(scripts()[3], PAGE, "exec"), names)
    assert names["reply"]["op"] == "result"
    layer = np.frombuffer(names["frames"][0], np.uint8).reshape(names["cutout"].shape)
    assert np.array_equal(layer[..., 3], names["cutout"][..., 3])
    assert np.abs(layer.astype(int) - names["cutout"]).mean() > 0
