"""What a preview shows of a picture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.thin.preview import find_surroundings, intersect_boxes

NUMBERS = st.integers(-500, 500)
SIDES = st.integers(1, 400)
BOXES = st.tuples(NUMBERS, NUMBERS, SIDES, SIDES)


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        ((100, 100, 40, 20), (86, 86, 68, 48)),  # 14 pixels around it
        ((-30, 10, 40, 20), (0, 3, 17, 34)),  # what shows of it is 10 x 20
        ((0, 0, 300, 200), (0, 0, 300, 200)),
        ((400, 0, 10, 10), (0, 0, 300, 200)),
    ],
)
def test_a_layer_is_shown_with_a_margin_within_the_canvas(
    layer: tuple[int, int, int, int], shown: tuple[int, int, int, int]
) -> None:
    assert find_surroundings(layer, 300, 200) == shown


@given(BOXES, SIDES, SIDES)
def test_all_that_shows_of_a_layer_is_in_it(layer: tuple[int, int, int, int], width: int, height: int) -> None:
    shown = find_surroundings(layer, width, height)
    visible = intersect_boxes(layer, (0, 0, width, height))
    assert shown[2] > 0
    assert shown[3] > 0
    assert intersect_boxes(shown, (0, 0, width, height)) == shown
    if visible[2] and visible[3]:
        assert intersect_boxes(visible, shown) == visible
