"""Unattended runs in the real GIMP: every kind of image, compared byte by byte with what the backend's client gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import Client
from gknet import Encoding
from tests.backend.real_backend import Backend
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Program
from tests.printed_commands import list_blocks

TABLES = (cases.opened, cases.precisions, cases.profiles, cases.arrangements)
CASES = {case["name"]: case for table in TABLES for case in table()}
SOFT = {**cases.case("replaced-softly"), "selection": cases.SOFT, "args": {"output": "replace"}, "in_place": True}
REFUSED = {case["name"]: case for case in cases.refusals()}
TYPES = {"u8": "u1", "u16": "<u2", "half": "<f2", "float": "<f4", "u32": "<u4", "double": "<f8"}


@dataclass
class Ran:
    """What all cases came to in one run of GIMP, and the folder that holds the pixels."""

    folder: Path
    outcomes: dict[str, dict[str, Any]]
    client: Client

    def read(self, name: str, kind: str, *shape: int) -> np.ndarray:
        return np.frombuffer((self.folder / name).read_bytes(), kind).reshape(shape)

    def same(self, one: str, other: str) -> bool:
        return (self.folder / one).read_bytes() == (self.folder / other).read_bytes()


@pytest.fixture(scope="module")
def ran(gimp: Program, backend: Backend) -> Iterator[Ran]:
    running = gimp.start("cases", backend.path)
    try:
        cases.write_photographs(running.folder)
        outcomes = {
            case["name"]: running.ask("outcome_of", case) for case in [*CASES.values(), SOFT, *REFUSED.values()]
        }
    finally:
        running.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GKNET_CONNECTION", str(backend.path))
        with Client.connect(start=False) as client:
            yield Ran(running.folder, outcomes, client)


def by_name(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {layer["name"]: layer for layer in state["layers"]}


def asked_of_the_client(ran: Ran, case: dict[str, Any], selection: np.ndarray | None = None) -> np.ndarray:
    """The harmonized layer (h, w, C) by the headless client, from what GIMP itself said of the image.

    selection: instead of the image's.
    """
    outcome = ran.outcomes[case["name"]]
    entry = by_name(outcome["before"])["object"]
    model, _, depth = case["wire"].partition(" ")
    colours = 3 if "R" in model else 1
    alpha = entry["alpha"] or entry["mask"] is not None
    kind, size = TYPES[depth], (entry["height"], entry["width"])
    layer = ran.read(outcome["layer"], kind, *size, colours + alpha).copy()
    if case.get("alpha_is_mask"):
        assert (layer[..., -1] == 255).all()
        layer[..., -1] = ran.read(entry["mask"], "u1", *size)
    width, height = case["reference_size"]
    if "selection" in case and selection is None:
        left, top = entry["offsets"]
        assert left >= 0
        assert top >= 0
        whole = ran.read(outcome["before"]["selection"], "u1", *outcome["size"][::-1])
        selection = np.ascontiguousarray(whole[top : top + size[0], left : left + size[1]])
    profile = (ran.folder / outcome["profile"]).read_bytes() if "profile" in case else None
    return ran.client.harmonize(
        layer,
        ran.read(outcome["reference"], kind, height, width, colours + 1),
        at=tuple(entry["offsets"]),
        canvas=tuple(outcome["size"]),
        strength=case.get("args", {}).get("strength", 1.0),
        clean_edges=case.get("args", {}).get("clean-edges", False),
        encoding=Encoding("linear" if "'" not in model and "~" not in model else "srgb", profile),
        selection=selection,
        opacity=case.get("opacity", 1.0),
    ).pixels


@pytest.mark.parametrize("name", CASES)
def test_colours_are_those_of_the_headless_client_and_alpha_is_the_layers_own(ran: Ran, name: str) -> None:
    case, outcome = CASES[name], ran.outcomes[name]
    assert (outcome["status"], outcome["error"]) == ("success", "")
    expected = asked_of_the_client(ran, case)
    kind = TYPES[case["wire"].partition(" ")[2]]
    sent = ran.read(outcome["layer"], kind, *expected.shape)
    got = ran.read(outcome["result"], kind, *expected.shape)
    assert not np.array_equal(expected, sent), "nothing was harmonized"
    if "rounding" in case:
        if case["precision"][0] == "U":
            expected = expected.clip(0, 1)
        light = (np.sign(got) * np.abs(got) ** 2.2) - (np.sign(expected) * np.abs(expected) ** 2.2)
        assert np.abs(light).max() <= case["rounding"]
    elif case.get("alpha_is_mask"):
        assert np.array_equal(got[..., :-1], expected[..., :-1])
    else:
        assert np.array_equal(got, expected), np.abs(got.astype(float) - expected).max((0, 1))
    if outcome["alpha"] is not None:
        assert ran.same(outcome["result_alpha"], outcome["alpha"])


@pytest.mark.parametrize("name", [name for name in CASES if not CASES[name].get("in_place")])
def test_new_layer_is_like_the_old_one_and_nothing_else_changed(ran: Ran, name: str) -> None:
    case, outcome = CASES[name], ran.outcomes[name]
    before, after = by_name(outcome["before"]), by_name(outcome["after"])
    made = after.pop("object (harmonized)")
    hidden = case.get("args", {}).get("output") != "keep"
    assert set(after) == set(before)
    assert made["type"] == "Layer"
    assert made["effects"] == 0
    for key in ("width", "height", "offsets", "opacity", "mode", "alpha", "format", "parent"):
        assert made[key] == before["object"][key], key
    assert made["visible"]
    assert made["position"] == after["object"]["position"] - 1
    assert (made["mask"] is None) == (before["object"]["mask"] is None)
    if made["mask"] is not None:
        assert ran.same(made["mask"], before["object"]["mask"])
    for layer, was in before.items():
        now = after[layer]
        assert now["visible"] == (was["visible"] and not (layer == "object" and hidden))
        for key in set(was) - {"pixels", "mask", "visible", "position"}:
            assert now[key] == was[key], (layer, key)
        for key in ("pixels", "mask"):
            if was.get(key) is not None:
                assert ran.same(now[key], was[key]), (layer, key)
    assert outcome["after"]["guides"] == outcome["before"]["guides"]
    assert ran.same(outcome["after"]["selection"], outcome["before"]["selection"])
    assert outcome["images"] == 1


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].get("save")])
def test_result_outlives_saving_as_xcf(ran: Ran, name: str) -> None:
    after, reopened = (ran.outcomes[name][which]["layers"] for which in ("after", "reopened"))
    for was, now in zip(after, reopened, strict=True):
        for key in set(was) - {"pixels", "mask"}:
            assert now[key] == was[key], key
        assert ran.same(now["pixels"], was["pixels"])


def test_a_file_turned_by_its_exif_is_harmonized_as_it_is_shown(ran: Ran) -> None:
    assert ran.outcomes["turned"]["size"] == [400, 600]


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].get("in_place")])
def test_replaced_pixels_are_all_that_changes(ran: Ran, name: str) -> None:
    before, after = (ran.outcomes[name][which]["layers"] for which in ("before", "after"))
    for was, now in zip(before, after, strict=True):
        for key in set(was) - {"pixels", "mask"}:
            assert now[key] == was[key], key
        assert ran.same(now["pixels"], was["pixels"]) == (was["name"] != "object")


def test_a_soft_selection_is_applied_once_to_replaced_pixels(ran: Ran) -> None:
    """GIMP blends along the edge itself; done twice, a half selected pixel would have a quarter of the change."""
    outcome = ran.outcomes["replaced-softly"]
    whole = ran.read(outcome["before"]["selection"], "u1", *outcome["size"][::-1])
    (left, top), (height, width) = cases.AT, cases.OBJECT[::-1]
    share = whole[top : top + height, left : left + width].astype(int)
    assert len(np.unique(share)) > 20
    hard = np.where(share > 0, 255, 0).astype("u1")
    sent, got = (ran.read(outcome[name], "u1", height, width, 4).astype(int) for name in ("layer", "result"))
    full = asked_of_the_client(ran, SOFT, hard).astype(int)
    assert np.array_equal(got[share == 0], sent[share == 0])
    assert np.array_equal(got[share == 255], full[share == 255])
    once = sent + (full - sent) * share[..., None] / 255
    # GIMP blends in linear light, so its middle is not quite ours; that of a second time would be 1/4 of the change.
    far = np.abs(full - sent)[..., :3].max(-1) >= 16
    half = far & (abs(share - 128) < 40)
    assert half.sum() > 50
    moved = np.abs(got - sent)[half][..., :3].sum() / np.abs(once - sent)[half][..., :3].sum()
    assert 0.8 < moved < 1.25


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_said_and_the_image_stays_as_it_was(ran: Ran, name: str) -> None:
    outcome = ran.outcomes[name]
    assert outcome["status"] != "success"
    assert REFUSED[name]["says"] in outcome["error"]
    assert not outcome["after"]["dirty"]
    before, after = outcome["before"]["layers"], outcome["after"]["layers"]
    assert len(before) == len(after)
    for was, now in zip(before, after, strict=True):
        for key in set(was) - {"pixels", "mask"}:
            assert now[key] == was[key], key
        if "pixels" in was:
            assert ran.same(now["pixels"], was["pixels"])
    assert outcome["images"] == 1


def test_the_script_of_the_page_harmonizes_a_layer(gimp: Program, backend: Backend) -> None:
    (script,) = list_blocks("docs/plugins.md", "python")
    running = gimp.start("script", backend.path)
    try:
        cases.write_photographs(running.folder)
        running.ask("show", cases.case("script"))
        running.ask("run_script", script, "object")
        names, *_ = running.ask("names")
    finally:
        running.close()
    assert names == ["object (harmonized)", "object", "ground"]
