"""Which channel and values are used as the mask, and the notes on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from gknet.errors import InputError
from gknet.files import formats
from gknet.files.mask import choose_mask
from gknet.pixels.pixels import validate_mask
from tests.gknet.photographs import photograph

OBJECT = np.hypot(*np.mgrid[-60:60, -80:80]) < 40
WHITE = OBJECT.astype(np.uint8) * np.uint8(255)
OPAQUE = np.full_like(WHITE, 255)


def gray(mask: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(mask[..., None])


@pytest.mark.parametrize("label", [1, 2, 15, 38, 90, 200])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_single_label_is_the_object(label: int, dtype: type) -> None:
    value = dtype(label / 255) if dtype == np.float32 else dtype(label)
    mask, notes = choose_mask(gray(OBJECT * value))
    np.testing.assert_array_equal(mask, OBJECT * (dtype(1) if dtype == np.float32 else np.iinfo(dtype).max))
    assert mask.dtype == dtype
    assert len(notes) == 1
    assert "used as the object" in notes[0]


def test_the_larger_of_two_values_is_the_object() -> None:
    mask, notes = choose_mask(gray(np.where(OBJECT, 9, 3).astype(np.uint8)))
    np.testing.assert_array_equal(mask, WHITE)
    assert "9 was used" in notes[0]


def test_two_values_that_are_nearly_black_and_white_need_no_note() -> None:
    mask, notes = choose_mask(gray(np.where(OBJECT, 254, 1).astype(np.uint8)))
    np.testing.assert_array_equal(mask, WHITE)
    assert notes == []


def test_a_palette_of_two_colors_is_a_mask(tmp_path: Path) -> None:
    image = Image.fromarray(OBJECT.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 750)
    image.save(tmp_path / "voc.png")
    np.testing.assert_array_equal(formats.read_mask(tmp_path / "voc.png"), WHITE)


@pytest.mark.parametrize("labels", [(0, 1, 2), (0, 3, 7, 15), (0, 15, 255)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_several_labels_are_refused_in_one_line(labels: tuple[int, ...], dtype: type) -> None:
    mask = np.zeros(OBJECT.shape, dtype)
    for i, label in enumerate(labels[1:]):
        mask[10 * i : 60 - 15 * i, 20 * i : 100] = label
    if labels[-1] == 255:  # a border that belongs to nobody
        mask[:] = np.where(OBJECT, labels[1], 0)
        mask[40:42] = 255
    with pytest.raises(InputError, match=r"label map.*white"):
        choose_mask(gray(mask))


def test_soft_masks_are_left_alone() -> None:
    rows, columns = np.mgrid[-60:60, -80:80]
    blob = np.exp(-(rows**2 + columns**2) / 800)
    ramp = np.tile(np.linspace(0, 1, 160), (120, 1))
    edge = (1.2 - np.hypot(rows, columns) / 40).clip(0, 0.2) * 5
    for soft in (blob, ramp, edge):
        for mask in ((soft * 255).round().astype(np.uint8), (soft * 65535).astype(np.uint16), soft.astype(np.float32)):
            found, notes = choose_mask(gray(mask))
            np.testing.assert_array_equal(found, mask)
            assert notes == []


def test_a_stray_alpha_is_not_the_mask() -> None:
    for value in (0, 100, 254):
        alpha = OPAQUE.copy()
        alpha[0, 0] = value
        mask, notes = choose_mask(np.dstack([WHITE, WHITE, WHITE, alpha]))
        np.testing.assert_array_equal(mask, WHITE)
        assert "brightness" in notes[0]
        np.testing.assert_array_equal(choose_mask(np.dstack([WHITE, alpha]))[0], WHITE)
    np.testing.assert_array_equal(choose_mask(np.dstack([WHITE, OPAQUE // 2]))[0], WHITE)
    np.testing.assert_array_equal(choose_mask(np.dstack([WHITE, OPAQUE * 0]))[0], WHITE)


def test_a_real_alpha_is_the_mask_and_a_contradiction_gets_a_note() -> None:
    other = np.roll(WHITE, 50, axis=1)
    for colors, has_note in ((WHITE, False), (OPAQUE, False), (other, True), (photograph("coffee", 120, 160), False)):
        mask, notes = choose_mask(np.dstack([colors, WHITE]))
        np.testing.assert_array_equal(mask, WHITE)
        assert bool(notes) is has_note


def test_a_photograph_as_the_mask_gets_a_note() -> None:
    _, notes = choose_mask(photograph("coffee", 120, 160))
    assert "colors" in notes[0]


@pytest.mark.parametrize(
    ("place", "white", "words"),
    [
        ((slice(3, 5), slice(3, 6)), 255, "selects only 6"),
        ((slice(3, 5), slice(3, 6)), 0, "leaves only 6"),
    ],
)
def test_almost_empty_and_almost_full_masks_get_a_note(place: tuple[slice, slice], white: int, words: str) -> None:
    mask = np.full(OBJECT.shape, 255 - white, np.uint8)
    mask[place] = white
    assert words in choose_mask(gray(mask))[1][0]


def test_a_dim_mask_and_one_without_black_get_a_note() -> None:
    soft = (np.hypot(*np.mgrid[-60:60, -80:80]) / 100).clip(0, 1)
    assert "no white, so at most 50 %" in choose_mask(gray((soft * 128).astype(np.uint8)))[1][0]
    assert "no part of the mask is black" in choose_mask(gray((soft * 205 + 50).astype(np.uint8)))[1][0]


def test_eight_bits_in_sixteen_are_refused_in_one_line(tmp_path: Path) -> None:
    soft = (np.hypot(*np.mgrid[-60:60, -80:80]) * 2).clip(0, 255).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", soft)
    with pytest.raises(InputError, match="largest value is 200 of 65535"):
        validate_mask(formats.read_mask(tmp_path / "a.tif"), soft.shape)
    for label in (1, 2, 15):
        with pytest.raises(InputError, match=f"largest value is {label} of 255"):
            validate_mask(OBJECT * np.uint8(label), OBJECT.shape)


@pytest.mark.parametrize("white", [1, 0.5])
def test_values_that_are_not_finite_are_counted_and_refused(white: float) -> None:
    mask = OBJECT.astype(np.float32) * np.float32(white)
    mask[5, 5:8] = np.nan
    for check in (lambda: choose_mask(gray(mask)), lambda: validate_mask(mask, OBJECT.shape)):
        with pytest.raises(InputError, match=f"infinite values: 3 NaN of {mask.size}"):
            check()
        mask[6, 6] = -np.inf
        with pytest.raises(InputError, match="infinite values: 3 NaN and 1 infinite of"):
            check()
        mask[6, 6] = 0
    mask[5, 5:8] = -2
    with pytest.raises(InputError, match=f"between 0 and 1, but they range from -2 to {white}"):
        validate_mask(mask, OBJECT.shape)
