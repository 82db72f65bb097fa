"""Unattended runs on several layers, and with a version and trims, in the real GIMP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backend import Client
from gknet import Trims
from tests.backend.real_backend import Backend
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Program, Running

LOW, HIGH = (20, 80), (90, 60)
WAYS: dict[str, dict[str, Any]] = {
    "hidden": {},
    "kept": {"args": {"output": "keep"}},
    "replaced in a soft selection": {"args": {"output": "replace"}, "selection": cases.SOFT},
    "compared with everything": {"args": {"compare": "image"}},
    "in groups": {"grouped": True},
}


@pytest.fixture(scope="module")
def running(gimp: Program, backend: Backend) -> Iterator[Running]:
    started = gimp.start("several", backend.path)
    cases.write_photographs(started.folder)
    yield started
    started.close()


def two_objects(grouped: bool = False, **more: Any) -> cases.Case:
    """One object over a part of another, a layer that can't be harmonized between them."""
    low, high = (cases.pasted(x=x, y=y) | {"name": name} for name, (x, y) in (("low", LOW), ("high", HIGH)))
    opaque = cases.layer("opaque", "opaque", visible=False)
    layers = [cases.layer("ground", "ground"), low, opaque, high]
    if grouped:
        group = {"name": "group", "is_group": True, "opacity": 80}
        layers = [layers[0], group, low | {"group": "group"}, opaque, high | {"mask": "mask"}]
    return cases.case("two", layers=layers, target="high", **more)


def by_name(running: Running, stem: str) -> dict[str, Any]:
    """The layers, with their pixels and masks as bytes."""
    layers = running.ask("state", stem)["layers"]
    for layer in layers:
        layer |= {key: (running.folder / layer[key]).read_bytes() for key in ("pixels", "mask") if layer.get(key)}
    return {layer["name"]: layer for layer in layers}


@pytest.mark.parametrize("way", WAYS)
def test_several_layers_become_what_one_after_the_other_becomes(running: Running, way: str) -> None:
    args = WAYS[way].get("args", {})
    case = two_objects(**{name: value for name, value in WAYS[way].items() if name != "args"})
    made = []
    for name, runs in (("one-by-one", ["low", "high"]), ("at-once", [["high", "low"]])):
        running.ask("show", case)
        for targets in runs:
            assert running.ask("harmonize", targets, args)[:2] == ["success", ""]
        made.append(by_name(running, name))
        running.ask("close")
    assert made[0] == made[1]


def test_a_layer_that_cannot_be_taken_is_named_and_the_others_are_made(running: Running) -> None:
    running.ask("show", two_objects())
    assert running.ask("harmonize", ["high", "opaque", "low"], {})[0] == "success"
    names, _, _ = running.ask("names")
    running.ask("close")
    assert names == ["high (harmonized)", "high", "opaque", "low (harmonized)", "low", "ground"]
    assert running.said().count("“opaque” was left out: The layer has no transparency") == 1


def test_layers_of_which_none_can_be_taken_are_refused_together(running: Running) -> None:
    before = running.ask("show", two_objects())
    status, error, _ = running.ask("harmonize", ["opaque", "ground"], {})
    after = running.ask("state", "none")
    running.ask("close")
    assert status == "execution-error"
    assert "None of the selected layers" in error
    assert "“ground” was left out" in error
    assert [layer["name"] for layer in before["layers"]] == [layer["name"] for layer in after["layers"]]
    assert not after["dirty"]


def test_version_and_trims_are_those_of_the_headless_client(
    running: Running, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases.case("version", args={"variant": 2, "warmth": 40, "brightness": -20, "saturation": 30})
    outcome = running.ask("outcome_of", case)
    assert (outcome["status"], outcome["error"]) == ("success", "")
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))

    def read(name: str, width: int, height: int) -> np.ndarray:
        return np.frombuffer((running.folder / outcome[name]).read_bytes(), "u1").reshape(height, width, 4)

    with Client.connect(start=False) as client:
        expected = client.harmonize(
            read("layer", *cases.OBJECT),
            read("reference", *case["reference_size"]),
            at=cases.AT,
            canvas=(cases.WIDTH, cases.HEIGHT),
            variant=2,
            trims=Trims(brightness=-20, warmth=40, saturation=30),
        )
    assert np.array_equal(read("result", *cases.OBJECT), expected.pixels)


def test_a_version_that_the_layer_does_not_have_is_refused(running: Running) -> None:
    before = running.ask("show", cases.case("missing", layers=cases.black_object()))
    status, error, _ = running.ask("harmonize", "object", {"variant": 5})
    after = running.ask("state", "refused")
    running.ask("close")
    assert status == "execution-error"
    assert "This object has only" in error
    assert [layer["name"] for layer in before["layers"]] == [layer["name"] for layer in after["layers"]]
