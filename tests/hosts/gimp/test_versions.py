"""Versions, trims and several layers in the dialog, on a small screen in one GIMP and on a large one in the other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import Client
from tests.backend.real_backend import Backend
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import KEY, Desk, Program, await_that, hanging

WINDOW = "Harmonize"
SCREENS = {"trixie": (1280, 720), "sid": (2560, 1440)}
PANEL = 60
"""Pixels of a screen's height that a desktop's panels may take, and a window's title with them."""
NEW = "object (harmonized)"
LONG = (6000, 4000)
"""Width and height of a layer that keeps the backend busy for seconds."""


@pytest.fixture(scope="module")
def desk(gimp: Program, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """GIMP with its windows; screenshots go to the folder `gimp-VERSION` of GKNET_SHOTS, if that is set."""
    shots = Path(os.environ.get("GKNET_SHOTS") or tmp_path_factory.mktemp("shots")).absolute()
    shots /= f"gimp-{gimp.chroot.version('gimp')}"
    shots.mkdir(parents=True, exist_ok=True)
    width, height = SCREENS[gimp.chroot.suite]
    for last in (gimp.settings / "plug-in-settings").glob("*gknet-harmonize*.last"):
        last.unlink()  # of another module
    running = gimp.start("versions", backend.path, display=True, screen=f"{width}x{height}")
    cases.write_photographs(running.folder)
    made = Desk(running, shots)
    made.do("xdotool", "mousemove", str(width - 1), str(height - 1))
    yield made
    made.shot("versions-last")
    running.close()


@pytest.fixture
def client(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))
    with Client.connect(start=False) as connected:
        yield connected


def open_dialog(desk: Desk) -> None:
    desk.image_window()
    desk.key(KEY)
    desk.await_window(WINDOW)


def dialog(desk: Desk) -> np.ndarray:
    """What the dialog shows."""
    return desk.pixels(*desk.geometry(WINDOW))


def await_versions(desk: Desk, client: Client, served: int) -> None:
    """Waits until the dialog has got at least three versions, and shows them."""
    await_that(lambda: client.status()["served"] >= served + 3, "all versions")
    await_still(desk)


def await_still(desk: Desk) -> None:
    """Waits until the dialog no longer changes."""
    seen: list[np.ndarray] = []

    def is_still() -> bool:
        seen.append(dialog(desk))
        return len(seen) > 4 and all(np.array_equal(seen[-1], one) for one in seen[-5:])

    await_that(is_still, "a dialog that rests")


def check_fits(desk: Desk, gimp: Program) -> None:
    """The whole dialog is on the screen."""
    width, height = SCREENS[gimp.chroot.suite]
    left, top, across, down = desk.geometry(WINDOW)
    assert left >= 0
    assert top >= 0
    assert across <= width
    assert down <= height - PANEL


def made_pixels(desk: Desk, name: str, stem: str) -> bytes:
    state = desk.running.ask("state", stem)
    return (desk.running.folder / next(one["pixels"] for one in state["layers"] if one["name"] == name)).read_bytes()


def unattended(desk: Desk, args: dict[str, Any]) -> tuple[str, bytes]:
    """The error of an unattended run on the object, and what it made, which is taken away again."""
    _, error, _ = desk.running.ask("harmonize", "object", args)
    pixels = b"" if error else made_pixels(desk, NEW, "unattended")
    if not error:
        desk.running.ask("remove", NEW)
    return error, pixels


def test_keys_choose_version_and_warmth_which_are_made_undone_and_repeated(
    desk: Desk, gimp: Program, client: Client
) -> None:
    before = desk.show(cases.opened()[0])
    assert len({unattended(desk, {"variant": number})[1] for number in (1, 2, 3)}) == 3
    warm = {"variant": 3, "warmth": 40}
    expected = unattended(desk, warm)[1]
    served = client.status()["served"]
    open_dialog(desk)
    await_versions(desk, client, served)
    check_fits(desk, gimp)
    desk.shot("versions-first")
    first, served = dialog(desk), client.status()["served"]
    desk.key("3")
    await_that(lambda: not np.array_equal(dialog(desk), first), "version 3")
    assert client.status()["served"] == served, "the chosen version was made anew"
    third = dialog(desk)
    desk.key("alt+v", "Left", "Left")
    await_that(lambda: not np.array_equal(dialog(desk), third), "version 1")
    desk.key("Right", "Right")
    desk.key("alt+w", "ctrl+a", "4", "0", "Tab")  # these digits choose no version
    await_versions(desk, client, served)
    desk.shot("versions-third")
    desk.key("alt+h")
    await_that(lambda: desk.has_layer(NEW), "the new layer")
    desk.await_no_window(WINDOW)
    assert made_pixels(desk, NEW, "made") == expected
    desk.undo(NEW)
    assert desk.is_same(before, desk.running.ask("state", "undone"))
    desk.key("ctrl+f")
    await_that(lambda: desk.has_layer(NEW), "the new layer of the repeated run")
    desk.await_no_window(WINDOW)
    assert made_pixels(desk, NEW, "repeated") == expected
    desk.close_image()


def test_a_double_click_on_a_slider_resets_it(desk: Desk) -> None:
    desk.show(cases.case("reset"))
    usual = unattended(desk, {})[1]
    open_dialog(desk)
    desk.key("1")
    desk.key("alt+w", "ctrl+a", "4", "0", "Tab")
    await_still(desk)
    left, top, across, _ = desk.geometry(WINDOW)
    # The third slider, which lies between its name and its number.
    at, beside = ([str(left + across - 250 + moved), str(top + 110)] for moved in (0, 2))
    second = ["mousedown", "1", "sleep", "0.05", "mousemove", *beside, "sleep", "0.05", "mouseup", "1"]
    desk.do("xdotool", "mousemove", *at, "click", "1", "sleep", "0.05", *second)  # a hand does not keep still
    await_still(desk)
    desk.shot("versions-reset")
    desk.key("1")
    desk.key("alt+h")
    await_that(lambda: desk.has_layer(NEW), "the new layer")
    desk.await_no_window(WINDOW)
    assert made_pixels(desk, NEW, "reset") == usual
    desk.close_image()


def test_a_remembered_version_that_is_missing_becomes_the_first(desk: Desk, gimp: Program) -> None:
    desk.show(cases.case("missing", layers=cases.black_object()))
    usual = unattended(desk, {})[1]
    assert "only" in unattended(desk, {"variant": 5})[0]
    desk.close_message()
    (last,) = (gimp.settings / "plug-in-settings").glob("*gknet-harmonize*.last")
    last.write_text(re.sub(r"\(variant \d+\)", "(variant 5)", last.read_text()))
    assert "(variant 5)" in last.read_text()
    open_dialog(desk)
    await_still(desk)
    desk.shot("versions-missing")
    desk.key("alt+h")
    await_that(lambda: desk.has_layer(NEW), "the new layer")
    desk.await_no_window(WINDOW)
    assert made_pixels(desk, NEW, "missing") == usual
    assert "(variant 1)" in last.read_text()
    desk.close_image()


def show_three(desk: Desk, **more: Any) -> dict[str, Any]:
    """Three selected layers, of which the one in the middle can't be harmonized."""
    low, high = cases.pasted(x=20, y=80) | {"name": "low"}, cases.pasted(x=160, y=60) | {"name": "high", **more}
    layers = [cases.layer("ground", "ground"), low, cases.layer("opaque", "opaque", visible=False), high]
    size = {"width": more["enlarged"][0], "height": more["enlarged"][1]} if more else {}
    return desk.show(cases.case("three", layers=layers, target="high", targets=["low", "opaque", "high"], **size))


def test_three_layers_of_which_one_is_refused_give_two_results_in_one_undo_step(desk: Desk) -> None:
    before = show_three(desk)
    open_dialog(desk)
    await_still(desk)
    desk.shot("several")
    desk.key("alt+h")
    await_that(lambda: desk.has_layer("high (harmonized)"), "the new layers")
    desk.await_no_window(WINDOW)
    desk.shot("several-left-out")
    desk.close_message()
    names, _, visible = desk.running.ask("names")
    assert names == ["high (harmonized)", "high", "opaque", "low (harmonized)", "low", "ground"]
    assert visible == [True, False, False, True, False, True]
    desk.undo("high (harmonized)")
    assert desk.is_same(before, desk.running.ask("state", "undone"))
    desk.close_image()


def test_many_layers_that_are_left_out_do_not_push_the_buttons_off_the_screen(desk: Desk, gimp: Program) -> None:
    names = [f"layer {number} with a name that is too long for a small dialog on a small screen" for number in range(8)]
    opaque = [cases.layer(name, "opaque", visible=False) for name in names]
    layers = [cases.layer("ground", "ground"), *opaque, cases.pasted()]
    desk.show(cases.case("many", layers=layers, targets=["object", *names]))
    open_dialog(desk)
    await_still(desk)
    desk.shot("several-many")
    check_fits(desk, gimp)
    desk.key("Escape")
    desk.await_no_window(WINDOW)
    desk.close_image()


def test_cancelling_the_second_layer_leaves_the_image_as_it_was(desk: Desk, backend: Backend, client: Client) -> None:
    before = show_three(desk, enlarged=LONG, x=0, y=0)
    served = client.status()["served"]
    desk.image_window()
    desk.key("ctrl+f")
    await_that(
        lambda: client.status()["served"] > served and client.status()["state"] == "working", "the second layer's turn"
    )
    desk.await_window(WINDOW)
    with hanging(backend):
        desk.shot("several-progress")
        desk.key("Escape")
        desk.await_no_window(WINDOW)
    await_that(lambda: client.status()["state"] == "idle", "the end of the dropped work")
    assert desk.is_same(before, desk.running.ask("state", "cancelled"))
    assert desk.running.ask("images") == 1
    desk.close_image()
