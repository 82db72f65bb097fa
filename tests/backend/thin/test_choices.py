"""The sentences that both plug-ins show."""

from __future__ import annotations

import pytest

from backend.thin import choices
from backend.thin.protocol import MAX_TRIM, NO_FOREGROUND, TRIMS, ThinError
from gknet.transfer.trims import Trims


def test_a_missing_version_is_named_with_those_that_there_are() -> None:
    assert choices.format_missing_version(4, 3) == (
        "This layer has only 3 versions, so version 1 is used instead of version 4."
    )
    assert choices.format_missing_version(2, 1).startswith("This layer has only one version,")


def test_several_layers_are_counted_and_named() -> None:
    assert choices.format_layer_progress(2, 3, "Dog", "Harmonizing…") == "2 of 3: Dog\nHarmonizing…"
    assert choices.format_layer_progress(2, 3, "Dog", "") == "2 of 3: Dog"
    assert "3 layers" in choices.format_topmost("Dog", 3)
    error = ThinError(NO_FOREGROUND, "The layer is fully opaque.", "Erase the background.")
    assert choices.format_left_out("Sky", error) == "“Sky” was left out: The layer is fully opaque."


def test_a_version_is_named_with_its_probability() -> None:
    assert choices.make_version_name(2, 0.2349) == "Version 2, 23 % likely"


def test_every_trim_has_a_label_and_a_help_text() -> None:
    assert list(choices.TRIMS) == list(choices.TRIMS_HELP) == list(TRIMS)
    for name in TRIMS:
        assert Trims(**{name: MAX_TRIM}) != Trims()


@pytest.mark.parametrize("texts", [[*choices.TRIMS.values(), choices.VERSIONS, choices.CLEAN_EDGES]])
def test_no_two_controls_share_a_shortcut(texts: list[str]) -> None:
    letters = [text[text.index("&") + 1].lower() for text in texts]
    assert len(set(letters)) == len(letters)
