"""Objects of one photograph pasted into another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.judging_sets.pasted_objects import paste_objects
from training.data.sample import MASK_SHARE, SIZE
from training.data.shards import Photographs, find_shards, read_photographs

RED, BLUE = (200, 10, 10), (10, 10, 200)


def anything(_: str) -> bool:
    return True


def two(mask: np.ndarray) -> Photographs:
    """A red and a blue photograph with the same mask."""
    pictures = np.stack([np.broadcast_to(np.array(colour)[:, None, None], (3, SIZE, SIZE)) for colour in (RED, BLUE)])
    masks = np.where(mask, 255, 0).astype(np.uint8)
    return Photographs(
        pictures=pictures.astype(np.uint8), masks=np.stack([masks, masks]), owner=np.arange(2), keys=["a_red", "b_blue"]
    )


def box(top: int, bottom: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top:bottom, 60:180] = True
    return mask


def test_only_the_object_changes_the_scene_and_keeps_its_colours() -> None:
    colours = {"a_red": RED, "b_blue": BLUE}
    found = list(paste_objects(two(box(40, 160)), 5, anything))
    assert len(found) == 2
    for case in found:
        own, scene = (colours[name] for name in case.key.split(" in "))
        assert own != scene
        inside = np.zeros_like(case.mask)
        rows, columns = np.nonzero(case.mask)
        inside[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()] = True
        assert (case.composite[inside] == own).all()
        around = np.zeros_like(case.mask)
        around[max(0, rows.min() - 1) : rows.max() + 2, max(0, columns.min() - 1) : columns.max() + 2] = True
        assert (case.composite[~around] == scene).all()
        assert 0.4 * SIZE - 2 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 0.7 * SIZE + 2
        assert rows.max() >= 0.75 * SIZE


def test_an_object_cut_by_the_lower_edge_stands_on_it_and_others_that_are_cut_are_left_out() -> None:
    for case in paste_objects(two(box(120, SIZE)), 2, anything):
        assert case.mask[-1].any()
    assert list(paste_objects(two(box(0, 120)), 2, anything)) == []


def test_specks_are_no_objects() -> None:
    speck = np.zeros((SIZE, SIZE), bool)
    speck[100:140, 100:140] = True  # 2.4 % of the picture
    assert list(paste_objects(two(speck), 2, anything)) == []


def test_objects_are_always_the_same_and_from_wanted_photographs_alone(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), SIZE, validation=True, mask_share=MASK_SHARE)
    once, again = (list(paste_objects(photographs, 3, anything)) for _ in range(2))
    assert len(once) == 3
    for one, other in zip(once, again, strict=True):
        assert one.key == other.key
        assert np.array_equal(one.composite, other.composite)
        assert np.array_equal(one.mask, other.mask)
    assert len({case.key.split(" in ")[0] for case in once}) == 3
    assert len({case.key.split(" in ")[1] for case in once}) == 3
    wanted = set(photographs.keys[:2])
    for case in paste_objects(photographs, 3, wanted.__contains__):
        assert set(case.key.split(" in ")) == wanted
