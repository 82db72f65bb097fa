"""Each kind of failure on a case that was made to have it, and on one that just does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from training.evaluation.failures.error_parts import Parts, split_error
from training.evaluation.failures.kinds import (
    CASES,
    DOUBTS,
    FAILURES,
    find_kinds,
    measure_change,
    measure_result,
    measure_scene,
)

SIZE = 64
MASK = np.zeros((SIZE, SIZE), bool)
MASK[8:56, 12:52] = True
ACROSS = np.broadcast_to(np.linspace(-1, 1, SIZE)[None, :, None], (SIZE, SIZE, 3))
RANDOM = np.random.default_rng(3)
MEAN_KINDS = ("unmoved", "under-correction", "over-correction", "wrong direction", "still off", "needless change")


def pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def textured(mean: tuple[float, float, float] = (140, 110, 90), spread: float = 25) -> np.ndarray:
    """(SIZE, SIZE, 3) float64: colours about a mean, each channel by itself, within twice the spread of it."""
    return np.array(mean) + spread * RANDOM.uniform(-1.7, 1.7, (SIZE, SIZE, 3))


OBJECT = textured()
EVEN = RANDOM.uniform(-1, 1, (SIZE, SIZE, 3))


def moved(wanted: tuple[float, ...], made: tuple[float, ...]) -> list[str]:
    """The kinds where the mean colour should have moved so far and did so far."""
    composite = OBJECT - np.array(wanted)
    return find_kinds(
        FAILURES, measure_result(pixels(composite), pixels(composite + np.array(made)), pixels(OBJECT), MASK)
    )


def ended(harmonized: np.ndarray, real: np.ndarray, composite: np.ndarray | None = None) -> list[str]:
    """The kinds of a result; the composite is far from all if none is given."""
    composite = real * 0.3 if composite is None else composite
    return find_kinds(FAILURES, measure_result(pixels(composite), pixels(harmonized), pixels(real), MASK))


def contrast(factor: float, off: float = 0) -> list[str]:
    real = textured(spread=30)
    return ended(real.mean((0, 1)) + factor * (real - real.mean((0, 1))) + off, real)


def curve(height: float) -> list[str]:
    return ended(128 + 80 * EVEN, 128 + 80 * EVEN + height * (4 * EVEN**3 - 3 * EVEN))


def specks(share: float, real_too: bool = False) -> list[str]:
    harmonized = OBJECT.copy()
    count = round(share * MASK.sum())
    inside = np.argwhere(MASK)[:count]
    harmonized[inside[:, 0], inside[:, 1]] = 255
    return ended(harmonized, harmonized if real_too else OBJECT)


GREY = textured((120, 120, 120), spread=0)
COLOURFUL = textured((150, 100, 60), spread=5)
BLUE = np.array([-4, 0, 10])

EXAMPLES: dict[str, tuple[list[str], list[list[str]]]] = {
    "unmoved": (moved((30, 30, 30), (7, 7, 7)), [moved((30, 30, 30), (9, 9, 9)), moved((5, 5, 5), (0, 0, 0))]),
    "under-correction": (
        moved((30, 30, 30), (20, 20, 20)),
        [moved((30, 30, 30), (24, 24, 24)), moved((5,) * 3, (0,) * 3)],
    ),
    "over-correction": (moved((30, 30, 30), (40, 40, 40)), [moved((30, 30, 30), (36, 36, 36))]),
    "wrong direction": (
        moved((30, 0, 0), (0, 30, 0)),
        [moved((30, 0, 0), (18, 25, 0)), moved((30, 30, 30), (-6, -6, -6))],
    ),
    "still off": (moved((60, 60, 60), (49, 49, 49)), [moved((60, 60, 60), (54, 54, 54)), moved((30,) * 3, (20,) * 3)]),
    "needless change": (moved((5, 5, 5), (20, 20, 20)), [moved((5, 5, 5), (11, 11, 11)), moved((10,) * 3, (20,) * 3)]),
    "contrast": (contrast(0.6), [contrast(0.8), contrast(0.6, off=40)]),
    "curve": (curve(30), [curve(10)]),
    "patchy": (ended(OBJECT, OBJECT + 30 * ACROSS), [ended(OBJECT, OBJECT + 15 * ACROSS)]),
    "detail": (
        ended(OBJECT, OBJECT + RANDOM.normal(0, 12, OBJECT.shape)),
        [ended(OBJECT, OBJECT + RANDOM.normal(0, 6, OBJECT.shape))],
    ),
    "tinted neutral": (ended(GREY + BLUE, GREY), [ended(GREY + BLUE / 2, GREY), ended(COLOURFUL + BLUE, COLOURFUL)]),
    "clipped": (specks(0.03), [specks(0.01), specks(0.03, real_too=True)]),
    "made worse": (ended(OBJECT + 9, OBJECT, OBJECT + 8), [ended(OBJECT + 8, OBJECT, OBJECT + 9)]),
    "far off before": (ended(OBJECT, OBJECT, OBJECT + 65), [ended(OBJECT, OBJECT, OBJECT + 61)]),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_named_and_a_near_miss_is_not(kind: str) -> None:
    failing, near = EXAMPLES[kind]
    assert kind in failing
    for names in near:
        assert kind not in names


def test_the_mean_colour_fails_in_one_way_only() -> None:
    for wanted in ((30, 0, 0), (5, 5, 5), (20, -20, 10)):
        for made in ((0, 0, 0), (30, 0, 0), (60, 0, 0), (-30, 5, 5), (20, -40, 10), (0, 30, -30)):
            assert sum(kind in MEAN_KINDS for kind in moved(wanted, made)) <= 1


def test_what_is_right_has_no_failure() -> None:
    assert ended(OBJECT, OBJECT, OBJECT - 20) == []


def with_share(share: float) -> list[str]:
    mask = np.zeros((SIZE, SIZE), bool)
    mask.flat[: round(share * mask.size)] = True
    return find_kinds(CASES, measure_scene(pixels(OBJECT), mask))


def behind(colour: tuple[float, float, float]) -> list[str]:
    picture = np.where(MASK[:, :, None], OBJECT, np.array(colour))
    return find_kinds(CASES, measure_scene(pixels(picture), MASK))


CASE_EXAMPLES: dict[str, tuple[Callable[[], list[str]], Callable[[], list[str]]]] = {
    "tiny": (lambda: with_share(0.049), lambda: with_share(0.051)),
    "huge": (lambda: with_share(0.51), lambda: with_share(0.49)),
    "dark scene": (lambda: behind((57, 57, 57)), lambda: behind((62, 62, 62))),
    "saturated scene": (lambda: behind((150, 90, 60)), lambda: behind((150, 100, 80))),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_case_is_called_what_it_is(kind: str) -> None:
    having, near = CASE_EXAMPLES[kind]
    assert kind in having()
    assert kind not in near()


def changed(pasted: np.ndarray, harmonized: np.ndarray) -> list[str]:
    return find_kinds(DOUBTS, measure_change(pixels(pasted), pixels(harmonized), MASK))


SPECKLED = np.where(np.arange(SIZE)[None, :, None] == 30, 255.0, OBJECT)  # one column of forty

DOUBT_EXAMPLES: dict[str, tuple[list[str], list[list[str]]]] = {
    "large change": (changed(OBJECT, OBJECT + 46), [changed(OBJECT, OBJECT + 44)]),
    "tinted neutral": (
        changed(GREY, GREY + BLUE),
        [changed(GREY, GREY + BLUE / 2), changed(COLOURFUL, COLOURFUL + BLUE)],
    ),
    "clipped": (changed(OBJECT, SPECKLED), [changed(SPECKLED, SPECKLED)]),
    "patchy": (changed(OBJECT, OBJECT + 30 * ACROSS), [changed(OBJECT, OBJECT + 15 * ACROSS)]),
}


@pytest.mark.parametrize("kind", DOUBTS)
def test_a_change_is_doubted_and_a_smaller_one_is_not(kind: str) -> None:
    doubted, near = DOUBT_EXAMPLES[kind]
    assert kind in doubted
    for names in near:
        assert kind not in names


def test_parts_add_up_to_the_whole_error_and_each_is_found_where_it_was_put() -> None:
    def parts(real: np.ndarray) -> Parts:
        found = split_error(pixels(OBJECT), pixels(real), MASK)
        whole = np.square(pixels(OBJECT)[MASK].astype(float) - pixels(real)[MASK]).mean()
        assert sum(found) == pytest.approx(whole)
        return found

    noise = 1.0  # rounding, and what thirty features take from it
    shift = parts(OBJECT + np.array([10, -5, 3]))
    assert shift.mean == pytest.approx(np.mean([100, 25, 9]), rel=0.02)
    assert sum(shift[1:]) < noise
    mixed = parts(OBJECT @ np.array([[0.9, 0.2, 0], [0, 0.8, 0.1], [0.1, 0, 1]]))
    assert mixed.affine > 10
    assert sum(mixed[2:]) < noise
    lit = parts(OBJECT * (1 + 0.2 * ACROSS))
    assert lit.place > 50
    assert lit.curve + lit.rest < noise


@pytest.mark.parametrize("count", [1, 7, 40])
def test_parts_of_few_or_equal_pixels_are_finite_and_add_up(count: int) -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask.flat[:count] = True
    for colours in (pixels(OBJECT), np.full((SIZE, SIZE, 3), 77, np.uint8)):
        parts = split_error(colours, pixels(OBJECT + 9), mask)
        whole = np.square(colours[mask].astype(float) - pixels(OBJECT + 9)[mask]).mean()
        assert sum(parts) == pytest.approx(whole)
        assert min(parts) >= 0
