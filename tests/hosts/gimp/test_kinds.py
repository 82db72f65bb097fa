"""Every kind of layer as the object and as the background, in the real GIMP; what each comes to is recorded."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend import Client
from tests.backend.real_backend import Backend
from tests.hosts import matrix
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Program, Running, await_that
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


@pytest.mark.parametrize("kind", ["text layer", *cases.CLASSES])
def test_kinds_rasterized_pixels_are_replaced(running: Running, kind: str) -> None:
    """In GIMP 3.2 such a layer keeps its class, though its pixels are all there is to it then."""
    if is_missing(running, "vector layer"):
        pytest.skip("this version rasterizes layers into plain ones")
    layer = cases.kinds("object")[kind][0] | {"rasterized": True}
    before = running.ask("show", cases.case("rasterized", layers=[cases.layer("ground", "ground"), layer]))

    def replace(strength: float) -> bytes:
        status, error, _ = running.ask("harmonize", "object", {"output": "replace", "strength": strength})
        assert (status, error) == ("success", "")
        after = running.ask("state", "replaced")
        assert running.ask("images") == 1
        for was, now in zip(before["layers"], after["layers"], strict=True):
            for key in set(was) - {"pixels"}:
                assert now[key] == was[key], key
        return pixels(after)

    def pixels(state: dict[str, Any]) -> bytes:
        return (running.folder / by_name(state)["object"]["pixels"]).read_bytes()

    was = pixels(before)
    assert replace(0.0) == was
    assert replace(1.0) != was
    running.ask("close")


def test_kinds_a_link_without_its_file_works(running: Running) -> None:
    """GIMP goes on showing what it read before the file went away."""
    if is_missing(running, "link or file layer"):
        pytest.skip("this version has no link layers")
    file = running.folder / "gone.png"
    file.write_bytes((running.folder / "object.png").read_bytes())
    link = {**cases.kinds("object")["link or file layer"][0], "link": file.name}
    shown = running.ask("show", cases.case("gone", layers=[cases.layer("ground", "ground"), link]))
    was = by_name(shown)["object"]["pixels"]
    file.unlink()
    assert running.ask("harmonize", "object", {"strength": 0.0})[:2] == ["success", ""]
    now = by_name(running.ask("state", "gone"))["object (harmonized)"]["pixels"]
    size = (*cases.OBJECT[::-1], 4)
    before, after = (np.frombuffer((running.folder / kept).read_bytes(), "u1").reshape(size) for kept in (was, now))
    seen = before[..., 3] > 0
    assert np.array_equal(after[..., 3], before[..., 3])
    assert np.array_equal(after[seen], before[seen])
    running.ask("close")


def test_kinds_a_link_whose_file_changes_meanwhile_is_left_alone(
    running: Running, backend: Backend, client: Client
) -> None:
    """GIMP reads a linked file again by itself; what comes back then belongs to pixels that are gone."""
    if is_missing(running, "link or file layer"):
        pytest.skip("this version has no link layers")
    file, other = running.folder / "changing.png", running.folder / "other.png"
    pasted = Image.open(running.folder / "object.png").resize((2400, 3000))  # keeps the backend busy for a while
    pasted.save(file)
    pasted.rotate(180).save(other)
    link = {"name": "object", "link": file.name}
    running.ask("show", cases.case("changing", layers=[cases.layer("ground", "ground"), link]))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(running.ask, "harmonize", "object", {})
        await_that(lambda: client.status()["state"] == "working", "the backend's work")
        os.kill(backend.process.pid, signal.SIGSTOP)
        other.replace(file)
        time.sleep(4)  # GIMP notices within a second, and cannot be asked meanwhile
        os.kill(backend.process.pid, signal.SIGCONT)
        status, error, _ = answer.result()
    assert status == "execution-error"
    assert "The layer was changed or removed meanwhile." in error
    assert running.ask("names")[0] == ["object", "ground"]
    assert running.ask("images") == 1
    running.ask("close")
