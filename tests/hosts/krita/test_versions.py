"""Versions, trims and several layers in a real Krita, on a small screen and on a large one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from backend import Client
from backend.thin.choices import format_missing_version, make_version_name
from gknet import Trims
from gknet.cli.demo import ASTRONAUT_AT
from tests.backend.real_backend import Backend
from tests.hosts.krita.program import Krita

DEMO = Path(__file__).parents[3] / "gknet" / "demo"
SCREENS = {"trixie": "1280x720", "sid": "2560x1440", "experimental": "1280x720"}
TABLE = (320, 240)
LOW, HIGH = [20, 80, 120, 150], [160, 60, 120, 150]


class Session:
    """What the driver reported."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.facts: dict[str, Any] = json.loads((out / "facts.json").read_text())

    def pixels(self, name: str, width: int) -> np.ndarray:
        return np.fromfile(self.out / name, np.uint8).reshape(-1, width, 4)


@pytest.fixture(scope="module")
def session(krita: Krita, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The demo's photograph with its cut-out, and a table with two dark cut-outs on it."""
    given, out = tmp_path_factory.mktemp("given"), tmp_path_factory.mktemp("versions")
    Image.open(DEMO / "background.jpg").convert("RGB").save(given / "photograph.png")
    pasted = np.asarray(Image.open(DEMO / "cutout.png").convert("RGBA"))
    table = np.dstack([skimage.data.coffee()[60:300, 100:420], np.full(TABLE[::-1], 255, np.uint8)])
    part = table[80:230, 20:140].copy()
    part[..., :3] //= 3
    part[:2, :2, 3] = 0
    names: dict[str, Any] = {"photograph": str(given / "photograph.png"), "table_size": TABLE}
    for name, pixels in (("pasted", pasted), ("table", table), ("part", part)):
        pixels[..., [2, 1, 0, 3]].tofile(given / name)
        names[name] = str(given / name)
    names |= {"box": [*ASTRONAUT_AT, pasted.shape[1], pasted.shape[0]], "low_box": LOW, "high_box": HIGH}
    krita.run("versions.py", names, out, backend.path, binds=[given], screen=SCREENS[krita.chroot.suite])
    return Session(out)


def test_the_dialog_fits_the_screen(session: Session) -> None:
    assert session.facts["fits"]


def test_each_version_has_a_thumbnail_with_a_name(session: Session) -> None:
    names = session.facts["names"]
    assert len(names) > 1
    assert [name.partition(",")[0] for name in names] == [
        make_version_name(number + 1, 0).partition(",")[0] for number in range(len(names))
    ]
    assert session.facts["likeliest_first"]


def test_every_control_has_a_name_and_a_letter_of_its_own(session: Session) -> None:
    assert session.facts["unnamed"] == []
    assert len(set(session.facts["mnemonics"])) == len(session.facts["mnemonics"])


def test_versions_are_chosen_at_once_by_key_arrow_and_mouse(session: Session) -> None:
    assert session.facts["chosen"] == {"key": True, "arrow": True, "mouse": True}
    assert session.facts["asked_anew"] == 0
    assert session.facts["chosen_ms"] < 50


def test_digits_can_be_typed_into_an_entry_and_a_double_click_resets(session: Session) -> None:
    assert session.facts["typed"] == [5, 4]
    assert session.facts["reset"] == 0


def test_what_is_chosen_is_made_to_the_byte_and_one_undo_removes_it(session: Session, backend: Backend) -> None:
    request = session.facts["request"]
    assert request["options"] == {"strength": 1.0, "variant": 3, "warmth": 30}
    place, reference = request["layer"], request["reference"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GKNET_CONNECTION", str(backend.path))
        with Client.connect(start=False) as client:
            answer = client.harmonize(
                session.pixels("layer", place["width"]),
                session.pixels("reference", reference["width"]),
                at=(place["x"], place["y"]),
                canvas=(reference["canvas_width"], reference["canvas_height"]),
                variant=3,
                trims=Trims(warmth=30),
            )
    assert np.array_equal(session.pixels("result", place["width"])[..., [2, 1, 0, 3]], answer.pixels)
    assert session.facts["undone"]


def test_last_values_repeat_version_and_trims(session: Session) -> None:
    assert session.facts["repeated"] == session.facts["request"]["options"]


def test_a_script_sets_values_as_the_actions_data(session: Session) -> None:
    assert session.facts["scripted"] == {"strength": 0.5, "variant": 2, "warmth": -20, "saturation": 10}
    assert session.facts["data_after"] is None
    assert session.facts["refused"] == "warmth must be a whole number from -100 to 100, not 101."


def test_a_remembered_version_that_is_missing_is_said_to_be(session: Session) -> None:
    assert session.facts["missing"] == [format_missing_version(3, 2), 1]


def test_three_layers_of_which_one_is_empty_give_two_results_in_one_undo_step(session: Session) -> None:
    facts = session.facts
    assert "2 layers" in facts["dialog"]
    assert facts["progress"] == ["1 of 2: low", "2 of 2: high"]
    assert facts["left_out"] == "“empty” was left out: The layer is empty."
    results = [["low (harmonized)", []], ["high (harmonized)", []]]
    assert facts["tree"][-2:] == [["high", []], ["2 layers (harmonized)", results]]
    assert facts["several_undone"]


def test_it_is_an_error_if_no_selected_layer_can_be_harmonized(session: Session) -> None:
    first, *sentences = session.facts["none_left"].split("\n\n")
    assert first == "None of the selected layers can be harmonized."
    assert sentences == [
        "“empty” was left out: The layer is empty.\n“other” was left out: The layer is empty.",
    ]


def test_an_upper_layer_is_compared_with_the_result_of_the_lower_one(session: Session) -> None:
    left, top, width, height = LOW
    reference = session.pixels("high_reference", TABLE[0])[top : top + height, left : left + width]
    result = session.pixels("low_result", width)[..., [2, 1, 0, 3]]
    opaque = result[..., 3] == 255
    assert np.array_equal(reference[opaque], result[opaque])


def test_cancelling_the_second_layer_leaves_the_document_as_it_was(session: Session) -> None:
    assert session.facts["cancelled"]


def test_layers_that_are_apart_get_their_results_directly_above(session: Session) -> None:
    names = session.facts["apart"]
    assert names == ["Background", "low", "low (harmonized)", "between", "empty", "high", "high (harmonized)"]
