"""Filters → Harmonize… as a user meets it: menu, dialog, preview, progress, Cancel, undo, repeat and errors."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import Client
from tests.backend.real_backend import Backend
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import KEY, START_S, Desk, Program, await_that, hanging

WINDOW = "Harmonize"
NEW = "object (harmonized)"
MARGIN, GAP, SIDE = 12, 12, 350
"""Pixels around the dialog, between its pictures, and on the longer side of a picture, which suits the screen."""
LONG = (7200, 4800)
"""Width and height of a layer that keeps the backend busy for seconds."""


@pytest.fixture(scope="module")
def desk(gimp: Program, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """GIMP with its windows; screenshots go to the folder `gimp-VERSION` of GKNET_SHOTS, if that is set."""
    shots = Path(os.environ.get("GKNET_SHOTS") or tmp_path_factory.mktemp("shots")).absolute()
    shots /= f"gimp-{gimp.chroot.version('gimp')}"
    shots.mkdir(parents=True, exist_ok=True)
    running = gimp.start("windows", backend.path, display=True)
    cases.write_photographs(running.folder)
    made = Desk(running, shots)
    made.do("xdotool", "mousemove", "1599", "999")  # where it brings no tooltip up over a dialog
    yield made
    made.shot("last")
    running.close()


@pytest.fixture
def client(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))
    with Client.connect(start=False) as connected:
        yield connected


@pytest.fixture
def photograph(desk: Desk) -> Iterator[dict[str, Any]]:
    """Mountains with an astronaut pasted into them, in a window; what was in the image then."""
    yield desk.show(cases.opened()[0])
    desk.close_image()


@pytest.fixture
def long_one(desk: Desk) -> Iterator[dict[str, Any]]:
    """A picture with a layer that takes long, in a window."""
    width, height = LONG
    layer = cases.pasted(enlarged=LONG, x=0, y=0)
    yield desk.show(cases.case("long", width=width, height=height, layers=[cases.layer("ground", "ground"), layer]))
    desk.close_image()


def is_there(desk: Desk, name: str = NEW) -> bool:
    return name in desk.running.ask("names")[0]


def preview(desk: Desk) -> tuple[np.ndarray, np.ndarray]:
    """The dialog's two pictures, float32 (h, w, 3), as the screen shows them."""
    left, top, _, _ = desk.geometry(WINDOW)
    upper = desk.pixels(left + MARGIN, top + 40, 2 * SIDE + GAP, SIDE * 3 // 4)  # below their names
    return upper[:, :SIDE], upper[:, SIDE + GAP :]


def settings(desk: Desk) -> np.ndarray:
    """The dialog beside its pictures."""
    left, top, width, height = desk.geometry(WINDOW)
    beside = MARGIN + 2 * SIDE + GAP
    return desk.pixels(left + beside, top, width - beside, height)


def difference(desk: Desk) -> np.ndarray:
    """Of the two pictures, of 255."""
    before, after = preview(desk)
    return np.abs(before - after)


def shown_change(desk: Desk) -> float:
    """Mean difference of the two pictures, of 255."""
    return float(difference(desk).mean())


def visible(difference: np.ndarray) -> int:
    """Pixels that look different. The new layer's row in GIMP's list of layers has five thousand."""
    return int((difference.max(-1) > 6).sum())


def is_painted(desk: Desk) -> bool:
    """Whether the dialog is more than a frame through which one sees GIMP: its margins are of one colour, and the
    buttons, at the bottom, have words on them."""
    left, top, width, height = desk.geometry(WINDOW)
    window = desk.pixels(left, top, width, height)
    inside = window[3:-3]  # GIMP 3.2 draws a thin line around it
    margins = np.concatenate([inside[:, 3:8], inside[:, -8:-3]], 1)
    words = bool((window[-60:-10].max(-1) > 150).sum() > 100)
    return words and bool((margins == margins[0, 0]).all())


def screen(desk: Desk) -> np.ndarray:
    return desk.pixels(0, 0, 1600, 1000)


def has_picture(area: np.ndarray) -> bool:
    return bool(area.std() > 20)


def test_from_the_menu_to_the_result_and_back_by_one_undo(desk: Desk, photograph: dict[str, Any]) -> None:
    desk.image_window()
    before = screen(desk)
    desk.key("alt+r", "Up")
    await_that(lambda: visible(np.abs(screen(desk) - before)) > 20_000, "the menu")
    desk.shot("menu")
    desk.key("Return")
    desk.await_window(WINDOW)
    size = desk.geometry(WINDOW)[2:]
    await_that(lambda: is_painted(desk) and has_picture(preview(desk)[1]), "the preview")
    desk.shot("dialog")
    assert desk.geometry(WINDOW)[2:] == size, "the dialog grew under the user's hand"
    assert has_picture(preview(desk)[0])
    change = shown_change(desk)
    assert change > 0.5, "the preview shows no change"
    shown = visible(difference(desk))
    assert shown > 8000
    desk.key("alt+g", "ctrl+a", "0", "Tab")  # strength
    await_that(lambda: shown_change(desk) == 0, "the preview of no change")
    desk.key("alt+g", "ctrl+a", "1", "Tab")
    await_that(lambda: shown_change(desk) == change, "the preview at full strength again")
    desk.key("alt+h")
    await_that(lambda: is_there(desk), "the new layer")
    desk.await_no_window(WINDOW)
    # The picture is larger there than in the preview.
    await_that(lambda: visible(np.abs(screen(desk) - before)) > shown, "the harmonized colours on the screen")
    desk.shot("result")
    made = {layer["name"]: layer for layer in desk.running.ask("state", "made")["layers"]}
    assert made[NEW]["visible"]
    assert not made["object"]["visible"]
    desk.undo(NEW)
    undone = desk.running.ask("state", "undone")
    assert desk.is_same(photograph, undone)
    assert not undone["dirty"]


def test_diagnostics_are_copied_also_where_the_command_cannot_be_run(desk: Desk, photograph: dict[str, Any]) -> None:
    """The Python outside, which was recorded, is not in the chroot."""
    del photograph
    desk.image_window()
    desk.key(KEY)
    desk.await_window(WINDOW)
    await_that(lambda: is_painted(desk), "the dialog")
    desk.key("alt+d")
    copied = await_that(lambda: "in GIMP plug-in 3." in (text := desk.clipboard()) and text, "the diagnostics")
    desk.key("Escape")
    desk.await_no_window(WINDOW)
    first, second, *_ = copied.splitlines()
    assert "plug-in 0." in first
    assert "gknet doctor could not be run" in second


def test_repeat_asks_nothing_and_keeps_the_last_values(desk: Desk, photograph: dict[str, Any]) -> None:
    del photograph
    desk.image_window()
    desk.key(KEY)
    desk.await_window(WINDOW)
    await_that(lambda: is_painted(desk) and has_picture(preview(desk)[1]), "the preview")
    before = settings(desk)
    desk.key("alt+p", "space", "Down", "Return")  # the second output: the original stays
    await_that(lambda: 100 < visible(np.abs(settings(desk) - before)) < 10_000, "the choice, and the end of the list")
    desk.shot("chosen")
    desk.key("alt+h")
    await_that(lambda: is_there(desk), "the new layer")
    desk.await_no_window(WINDOW)
    desk.undo(NEW)
    desk.key("ctrl+f")
    await_that(lambda: is_there(desk), "the new layer of the repeated run")
    shown = {layer["name"]: layer["visible"] for layer in desk.running.ask("state", "repeated")["layers"]}
    assert shown == {NEW: True, "object": True, "ground": True}


def explained(desk: Desk) -> bool:
    """Whether the dialog has a picture, and text above its buttons on the left."""
    left, top, _, height = desk.geometry(WINDOW)
    lower = desk.pixels(left + MARGIN, top + height - 165, 2 * SIDE, 45)
    words = bool((lower.max(-1) > 150).sum() > 300)
    return is_painted(desk) and has_picture(preview(desk)[0]) and words


def test_an_opaque_layer_is_explained_in_the_dialog_and_after_it(desk: Desk) -> None:
    layers = [cases.layer("ground", "ground"), cases.layer("object", "opaque", x=100, y=70)]
    before = desk.show(cases.case("no-object", layers=layers))
    desk.image_window()
    desk.key(KEY)
    desk.await_window(WINDOW)
    await_that(lambda: explained(desk), "the reason in the dialog")
    desk.shot("explained")
    desk.key("alt+h")
    desk.await_window("GIMP Message")
    desk.shot("error")
    desk.key("Return")
    desk.await_no_window("GIMP Message")
    assert desk.is_same(before, desk.running.ask("state", "refused"))
    desk.close_image()


def test_an_object_that_fits_already_is_said_to(desk: Desk) -> None:
    layers = [cases.layer("ground", "ground"), cases.layer("object", "part", x=cases.PART[0], y=cases.PART[1])]
    desk.show(cases.case("fitting", layers=layers))
    desk.image_window()
    desk.key(KEY)
    desk.await_window(WINDOW)
    await_that(lambda: explained(desk) and has_picture(preview(desk)[1]), "the notice in the dialog")
    desk.shot("fits")
    desk.key("alt+h")
    await_that(lambda: is_there(desk), "the new layer")
    desk.await_no_window(WINDOW)
    desk.shot("fits-notice")
    desk.close_message()
    desk.close_image()


def record(desk: Desk, end: Callable[[], bool], changes: int | None = None) -> list[bytes]:
    """Return each new picture of the progress bar until `end()`, or until it has changed `changes` times."""
    pictures: list[bytes] = []
    left, top, width, height = desk.geometry(WINDOW)
    top, height = top + round(0.28 * height), round(0.14 * height)  # between the text and the button
    deadline = time.monotonic() + START_S
    while not end() and (changes is None or len(pictures) <= changes):
        assert time.monotonic() < deadline, f"the bar has moved {len(pictures) - 1} times only"
        picture = desk.pixels(left, top, width, height).tobytes()
        if picture != (pictures[-1] if pictures else None):
            pictures.append(picture)
    return pictures


def start_long(desk: Desk, client: Client) -> None:
    """Repeats the last run, and returns when the backend works on it."""
    desk.image_window()
    desk.key("ctrl+f")
    await_that(lambda: client.status()["state"] == "working", "the backend's work")
    desk.await_window(WINDOW)


def test_progress_moves_throughout_a_long_run(desk: Desk, client: Client, long_one: dict[str, Any]) -> None:
    del long_one
    served = client.status()["served"]
    desk.image_window()
    desk.key("ctrl+f")
    await_that(lambda: WINDOW in desk.windows(), "the progress window")
    pictures = record(desk, lambda: WINDOW not in desk.windows())
    await_that(lambda: is_there(desk), "the new layer")
    assert client.status()["served"] == served + 1
    assert len(pictures) > 6  # a still bar shows one or two


def test_progress_moves_and_cancel_works_while_the_backend_hangs(
    desk: Desk, backend: Backend, client: Client, long_one: dict[str, Any]
) -> None:
    start_long(desk, client)
    with hanging(backend):
        record(desk, lambda: False, changes=6)
        desk.shot("progress")
        desk.key("Escape")
        desk.await_no_window(WINDOW)
    await_that(lambda: client.status()["state"] == "idle", "the end of the dropped work")
    assert desk.is_same(long_one, desk.running.ask("state", "cancelled"))
    assert "GIMP Message" not in desk.windows()


def test_gimps_own_cancel_leaves_the_image_untouched(
    desk: Desk, backend: Backend, client: Client, long_one: dict[str, Any]
) -> None:
    start_long(desk, client)
    with hanging(backend):
        # What that button does to the plug-in; as GIMP did not do it, it speaks of a crash.
        desk.do("pkill", "-KILL", "-f", "plug-ins/gknet-harmonize/gknet-harmonize.py -gimp")
        desk.await_no_window(WINDOW)
    await_that(lambda: client.status()["state"] == "idle", "the end of the dropped work")
    assert desk.is_same(long_one, desk.running.ask("state", "killed"))


def test_no_copy_of_the_image_is_left_by_gimps_own_cancel(desk: Desk, backend: Backend) -> None:
    """A group is read from a copy of the image; that must be gone while the plug-in may be ended at any time."""
    desk.show(cases.case("cancelled", layers=[cases.layer("ground", "ground"), *cases.group("object")]))
    desk.image_window()
    with hanging(backend):
        desk.key("ctrl+f")
        desk.await_window(WINDOW)
        time.sleep(1)  # a copy is there for a moment
        await_that(lambda: desk.running.ask("images") == 1, "the end of all copies", 5)
        assert WINDOW in desk.windows()
        desk.do("pkill", "-KILL", "-f", "plug-ins/gknet-harmonize/gknet-harmonize.py -gimp")
        desk.await_no_window(WINDOW)
    assert desk.running.ask("images") == 1
