"""Every kind of layer as the object and as the background, in the real GIMP; what each comes to is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backend import Client
from tests.backend.real_backend import Backend
from tests.hosts import matrix
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Program, Running
from tests.hosts.gimp.test_batch import TYPES, Ran, asked_of_the_client, by_name

NOT_ALIKE = ("pixels", "mask", "position", "visible")
"""What a run may change of layers that were there, or what is compared by itself."""


@pytest.fixture(scope="module")
def running(gimp: Program, backend: Backend) -> Iterator[Running]:
    started = gimp.start("kinds", backend.path)
    cases.write_photographs(started.folder)
    yield started
    started.close()


@pytest.fixture
def client(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))
    with Client.connect(start=False) as connected:
        yield connected


def is_missing(running: Running, kind: str) -> bool:
    """Whether this version of GIMP has no such layers."""
    return kind in cases.NO_SUCH or (kind in cases.CLASSES and not running.ask("has_kind", cases.CLASSES[kind]))


def check_object(running: Running, name: str, layers: list[cases.Case]) -> str:
    """Harmonizes the layer "object" at strength 0, checks all that came of it, and returns the outcome."""
    outcome = ask_object(running, name, layers, 0.0)
    if outcome["error"]:
        return sentence(outcome["error"])
    # GIMP renders effects as floats, and what they come to as pixels of the image's 8 bits is rounded once more.
    rounding = 2 if any("effect" in layer for layer in layers) else 0
    for (before, after), allowed in zip(pictures(running, outcome), (rounding, 0), strict=True):
        off = np.abs(before.astype(int) - after)
        assert off.max() <= allowed, f"strength 0 is off by {off.max()} at {(off.max(-1) > allowed).sum()} pixels"
    check_layers(outcome["was"], outcome["is"])
    return matrix.WORKS


def check_change(running: Running, name: str, layers: list[cases.Case]) -> None:
    """Harmonizes the layer "object" at strength 1: its colours change, its transparency does not."""
    outcome = ask_object(running, name, layers, 1.0)
    assert not outcome["error"]
    for before, after in pictures(running, outcome):
        assert not np.array_equal(before, after), "nothing was harmonized"
    assert np.array_equal(before[..., -1], after[..., -1])


def ask_object(running: Running, name: str, layers: list[cases.Case], strength: float) -> dict[str, Any]:
    """What comes of "object" over a photograph; where that is an error, the image must be as it was."""
    case = cases.case(name.replace(" ", "-"), layers=[cases.layer("ground", "ground"), *layers])
    outcome: dict[str, Any] = running.ask("object_outcome", case, strength)
    assert outcome["images"] == 1, "a hidden image was left behind"
    if outcome["error"]:
        assert not outcome["is"]["dirty"]
        assert list(by_name(outcome["is"])) == list(by_name(outcome["was"]))
    return outcome


def pictures(running: Running, outcome: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the canvas shows before and after: everything, then the object and its harmonized layer alone."""

    def pixels(kept: str) -> np.ndarray:
        return np.frombuffer((running.folder / kept).read_bytes(), np.uint8).reshape(cases.HEIGHT, cases.WIDTH, -1)

    return [(pixels(one), pixels(other)) for one, other in zip(outcome["before"], outcome["after"], strict=True)]


def sentence(error: str) -> str:
    """What a refusal says, without what to do, as the record has it."""
    return f"“{error.partition(chr(10))[0]}”"


def check_layers(before: dict[str, Any], after: dict[str, Any]) -> None:
    """One plain layer is new, directly above the object, locked in place and transparency as that was, no other way."""
    was, now = by_name(before), by_name(after)
    new, target = now.pop("object (harmonized)"), was["object"]
    assert new["type"] == "Layer"
    assert (new["effects"], new["visible"], new["position"]) == (0, True, target["position"])
    assert (new["parent"], new["opacity"]) == (target["parent"], target["opacity"])
    assert new["mode"] == target["mode"].replace("pass-through", "normal")
    assert (new["mask"] is None) == (target["mask"] is None)
    assert new["locks"] == [lock for lock in target["locks"] if lock in ("position", "alpha")]
    assert list(now) == list(was)
    for name, layer in was.items():
        assert now[name]["visible"] == (layer["visible"] and name != "object")
        around = ("width", "height", "offsets") if name == target["parent"] else ()  # it has the new layer in it
        for key in set(layer) - {*NOT_ALIKE, *around}:
            assert now[name][key] == layer[key], (name, key)


def check_background(running: Running, client: Client, kind: str, layers: list[cases.Case]) -> str:
    """Harmonizes a pasted object over nothing but such a layer; the result is what the headless client gives."""
    shows = [layer["name"] for layer in layers if not layer.get("is_group")]
    case = cases.case(f"{kind}-below".replace(" ", "-"), layers=[*layers, cases.pasted()], reference_shows=shows)
    outcome = running.ask("outcome_of", case)
    assert outcome["images"] == 1
    if outcome["error"]:
        return sentence(outcome["error"])
    expected = asked_of_the_client(Ran(running.folder, {case["name"]: outcome}, client), case)
    got = np.frombuffer((running.folder / outcome["result"]).read_bytes(), TYPES["u8"]).reshape(expected.shape)
    assert np.array_equal(got, expected)
    sent = (running.folder / outcome["layer"]).read_bytes()
    assert sent != got.tobytes(), "nothing was harmonized"
    return matrix.WORKS


def test_kinds_of_layers_do_what_is_recorded(gimp: Program, running: Running, client: Client) -> None:
    found: matrix.Outcomes = {}
    objects, backgrounds = cases.kinds("object"), cases.kinds("kind")
    for kind in matrix.KINDS:
        if is_missing(running, kind):
            found[kind] = dict.fromkeys(matrix.ROLES, "no such layer")
            continue
        found_object = check_object(running, kind, objects[kind])
        if found_object == matrix.WORKS:
            check_change(running, kind, objects[kind])
        found[kind] = {
            "object": found_object,
            "background": check_background(running, client, kind, backgrounds[kind]),
        }
    matrix.check_outcomes("GIMP", gimp.chroot.version("gimp"), found)


@pytest.mark.parametrize("name", cases.combinations())
def test_kinds_combined_work_too(running: Running, name: str) -> None:
    kind = next((kind for kind in cases.CLASSES if kind.startswith(name.partition(",")[0])), "")
    if is_missing(running, kind):
        pytest.skip(f"this version has no {kind}")
    assert check_object(running, name, cases.combinations()[name]) == matrix.WORKS


def test_kinds_a_locked_vector_layer_is_seen_below(running: Running) -> None:
    """GIMP 3.2 leaves it out of copies of an image, and the background is rendered from one."""
    if is_missing(running, "vector layer"):
        pytest.skip("this version has no vector layers")
    below = {"name": "below", "outline": cases.TRIANGLE, "locks": ["alpha"]}
    outcome = running.ask("object_outcome", cases.case("locked-vector", layers=[below, cases.pasted()]), 1.0)
    assert outcome["error"] == ""
    assert outcome["images"] == 1
