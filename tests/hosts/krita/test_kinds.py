"""Every kind of layer in a real Krita, as the object and as the background: works, or is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.backend.real_backend import Backend
from tests.hosts import matrix
from tests.hosts.krita.program import Krita
from tests.hosts.krita.test_layers import USUAL, as_krita, cut_out, green, photograph

SIDE = 512
BOX, BEYOND = [150, 200, 120, 160], [-60, 400, 120, 160]
WHOLE = {
    "paint layer": BOX,
    "partly off the canvas": BEYOND,
    "with a transform mask": [210, -10, 240, 320],
    "transformed beyond the canvas": [-120, -160, 240, 320],
    "a clone of a blurred layer": [135, 185, 150, 190],
}
"""Where the new layer must lie, to a pixel or two."""
REFUSED = {
    "blending and passing through": "The group “object” passes through, and layers in it are blended with the picture",
    "in a locked group": "The layer is in the locked group “object”, to which no layer can be added.",
    "a filter layer": "A filter layer has no pixels of its own.",
}
BESIDE = (
    "with a transform mask",
    "transformed beyond the canvas",
    "blurred beyond the canvas",
    "a clone of a blurred layer",
    "a transformed group",
    "hidden and blurred",
    *REFUSED,
)
"""Kinds that are not in the matrix."""

PREVIEWED = {
    "vector layer": "",
    "pass-through group": "",
    "with a layer style": "",
    "animated": "The layer is animated: only this frame is harmonized, and the new layer shows it in all frames.",
    "with a transform mask": "",
}
"""Kinds tried in the dialog too, and what its preview says."""

Facts = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def facts(krita: Krita, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """What the driver found: kind of layer → role → facts."""
    given, out = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("kinds")
    write_pictures(given)
    names = {"folder": str(given), "width": SIDE, "height": SIDE, "box": BOX, "pasted": [200, 120, 120, 160]}
    names |= {"kinds": [*matrix.KINDS, *BESIDE], "backgrounds": [*matrix.KINDS, "a filter layer"]}
    names |= {"previewed": list(PREVIEWED)}
    krita.run("kinds.py", names, out, backend.path, binds=[given])
    found: Facts = json.loads((out / "kinds.json").read_text())
    return found


def write_pictures(folder: Path) -> None:
    pictures = {"ground": photograph(SIDE, SIDE), "object": cut_out(USUAL), "veil": green()}
    for name, picture in pictures.items():
        as_krita(picture).tofile(folder / name)
    linked = np.zeros((SIDE, SIDE, 4), np.uint8)
    left, top, width, height = BOX
    linked[top : top + height, left : left + width] = pictures["object"]
    Image.fromarray(linked).save(folder / "object.png")


def outcome(found: dict[str, Any]) -> str:
    return f"“{found['said'].splitlines()[0]}”" if "said" in found else matrix.WORKS


def test_kinds_of_layers_work_or_are_refused_as_the_docs_say(krita: Krita, facts: Facts) -> None:
    outcomes = {
        kind: {role: outcome(found) for role, found in facts[kind].items()} for kind in facts if kind in matrix.KINDS
    }
    matrix.check_outcomes("Krita", krita.chroot.version("krita"), outcomes)


@pytest.mark.parametrize("kind", [kind for kind in (*matrix.KINDS, *BESIDE) if kind not in REFUSED])
def test_all_kinds_are_shown_exactly_as_before_at_strength_0(kind: str, facts: Facts) -> None:
    found = facts[kind]["object"]
    assert "said" not in found, found
    # One that passes through is blended with the picture layer by layer, and its values are rounded each time.
    assert found["off"] <= (1 if kind == "pass-through group" else 0)
    if kind in WHOLE:
        assert np.abs(np.subtract(found["box"], WHOLE[kind])).max() <= 3, found["box"]


@pytest.mark.parametrize("kind", matrix.KINDS)
def test_all_kinds_change_at_full_strength(kind: str, facts: Facts) -> None:
    assert facts[kind]["object"]["changed"] > 0.5


@pytest.mark.parametrize("kind", [*matrix.KINDS, "a filter layer"])
def test_all_kinds_are_seen_as_the_background(kind: str, facts: Facts) -> None:
    assert facts[kind]["background"] == {"off": 0}


@pytest.mark.parametrize("kind", REFUSED)
def test_kinds_that_cannot_work_are_refused_with_a_way_out(kind: str, facts: Facts) -> None:
    found = facts[kind]["object"]
    sentence, _, hint = found["said"].partition("\n\n")
    assert sentence.startswith(REFUSED[kind])
    assert hint
    assert found["untouched"]


def test_kinds_that_are_animated_are_said_to_be_harmonized_in_one_frame(facts: Facts) -> None:
    for kind in matrix.KINDS:
        told = any("only this frame" in notice for notice in facts[kind]["object"]["notices"])
        assert told == (kind == "animated"), kind


@pytest.mark.parametrize("kind", PREVIEWED)
def test_kinds_have_a_preview_in_the_dialog(kind: str, facts: Facts) -> None:
    assert facts[kind]["object"]["preview"] == PREVIEWED[kind]
