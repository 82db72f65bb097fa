"""The plug-in as a user meets it, in a real Krita: menu, dialog, progress, result, undo, redo, save, cancel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from backend import Client
from gknet.cli.demo import ASTRONAUT_AT
from tests.backend.real_backend import Backend
from tests.hosts.krita.photograph import DEMO, write_photograph
from tests.hosts.krita.program import Krita


class Session:
    """What the driver reported, and the pictures it was given; version: Krita's, such as "5.3"."""

    def __init__(self, out: Path, box: list[int], version: str) -> None:
        self.out, self.box, self.version = out, box, version
        self.facts: dict[str, Any] = json.loads((out / "facts.json").read_text())

    def pixels(self, name: str, width: int) -> np.ndarray:
        return np.fromfile(self.out / name, np.uint8).reshape(-1, width, 4)


@pytest.fixture(scope="module")
def session(krita: Krita, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The demo's photograph with its cut-out pasted."""
    given, out = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("windows")
    names = write_photograph(given)
    # A part of a table that lies where it was: nothing fits better.
    table = np.dstack([skimage.data.coffee()[60:300, 100:420], np.full((240, 320), 255, np.uint8)])
    part = table[80:230, 20:140].copy()
    part[:2, :2, 3] = 0
    for name, pixels in (("table", table), ("part", part)):
        pixels[..., [2, 1, 0, 3]].tofile(given / name)
        names[name] = str(given / name)
    names |= {"part_box": [20, 80, 120, 150], "table_size": [320, 240]}
    krita.run("windows.py", names, out, backend.path, binds=[given])
    return Session(out, names["box"], ".".join(krita.chroot.version("krita").split(".")[:2]))


def test_both_entries_are_in_the_filter_menu(session: Session) -> None:
    assert session.facts["menu"] == ["Harmonize…", "Harmonize with Last Values"]


def test_the_preview_follows_the_slider(session: Session) -> None:
    none, half, full = (session.facts["preview"][value] for value in ("0", "50", "100"))
    assert none == 0
    assert 0.1 < half < full
    assert half == pytest.approx(full / 2, rel=0.1)


def test_the_result_is_the_headless_clients_to_the_byte(session: Session, backend: Backend) -> None:
    request = session.facts["request"]
    left, top, width, height = (request["layer"][name] for name in ("x", "y", "width", "height"))
    whole = np.asarray(Image.open(DEMO / "cutout.png").convert("RGBA"))
    layer = whole[top - ASTRONAUT_AT[1] :, left - ASTRONAUT_AT[0] :][:height, :width]
    assert np.array_equal(session.pixels("layer", width), layer)
    assert whole[..., 3].astype(bool).sum() == layer[..., 3].astype(bool).sum()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GKNET_CONNECTION", str(backend.path))
        with Client.connect(start=False) as client:
            answer = client.harmonize(
                layer,
                session.pixels("reference", request["reference"]["width"]),
                at=(request["layer"]["x"], request["layer"]["y"]),
                canvas=(request["reference"]["canvas_width"], request["reference"]["canvas_height"]),
            )
    result = session.pixels("result", width)[..., [2, 1, 0, 3]]
    assert np.array_equal(result, answer.pixels)
    assert np.array_equal(result[..., 3], layer[..., 3])
    assert not np.array_equal(result, layer)


def test_other_layers_are_untouched_and_undo_and_redo_are_exact(session: Session) -> None:
    for fact in ("others_untouched", "undone", "redone"):
        assert session.facts[fact], fact


def test_the_saved_file_holds_the_result(session: Session) -> None:
    assert session.facts["saved"][-2:] == ["pasted", "pasted (harmonized)"]
    assert session.facts["saved_exactly"]


def test_the_second_entry_repeats_the_values_without_a_dialog(session: Session) -> None:
    assert session.facts["again"] == {"options": session.facts["request"]["options"], "requests": 1}


def test_diagnostics_are_copied_also_where_the_command_cannot_be_run(session: Session) -> None:
    """The Python outside, which was recorded, is not in the chroot."""
    first, second, *_ = session.facts["diagnostics"].splitlines()
    assert f"in Krita {session.version}." in first
    assert "plug-in 0." in first
    assert "gknet doctor could not be run" in second


def test_an_object_that_fits_already_is_said_to(session: Session) -> None:
    assert session.facts["fits"].startswith("Hardly any change")


def test_escape_leaves_the_document_as_it_was(session: Session) -> None:
    assert session.facts["escaped"]


def test_cancel_takes_effect_at_once_at_every_stage(session: Session) -> None:
    assert session.facts["cancelled"] == {"Looking": True, "Reading": True, "Sending": True}
    print("seconds from Cancel to the end of the request:", session.facts["held_s"])
