"""Photographs that were trained on, judged beside others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.calling import call_command
from training.data.shards import find_shards, read_photographs
from training.evaluation.metrics import Record, Scores
from training.research import seen_photographs as command
from training.research.seen_photographs import build_table, resample_shares, select_evenly


def records(after: list[float], composites: int = 2) -> list[Record]:
    """Composites of as many photographs, each with an fMSE of 100 before."""
    return [
        Record(f"key_{number}", "mkl", 0.1, Scores(10, 30, 100), Scores(5, 33, left))
        for number, left in enumerate(after)
        for _ in range(composites)
    ]


def test_what_is_equal_is_not_apart_and_what_differs_is() -> None:
    left = list(np.random.default_rng(1).uniform(20, 60, 100))
    same = build_table(records(left), records(left), "weights")
    worse = build_table(records(left), records([value + 20 for value in left]), "weights")
    assert same.sections[1][0][3] == "+0.000"
    low, high = map(float, same.sections[1][0][4].split(" to "))
    assert low < 0 < high
    assert worse.sections[1][0][3] == "+0.200"
    low, high = map(float, worse.sections[1][0][4].split(" to "))
    assert 0 < low < 0.2 < high


def test_composites_of_one_photograph_are_drawn_together() -> None:
    """More composites of the same photographs make nothing more certain."""
    left = list(np.random.default_rng(1).uniform(20, 60, 50))
    few, many = (np.std(resample_shares(records(left, count), np.random.default_rng(0))) for count in (1, 10))
    assert many == pytest.approx(few)


def test_some_photographs_are_taken_evenly_with_their_first_mask(pool: Path) -> None:
    photographs = read_photographs(find_shards([pool]), 32, validation=False)
    some = select_evenly(photographs, 3)
    assert some.keys == [
        photographs.keys[0],
        photographs.keys[round((len(photographs.keys) - 1) / 2)],
        photographs.keys[-1],
    ]
    last = int(photographs.masks_of[-1][0])
    assert np.array_equal(some.masks[-1], photographs.masks[last])
    assert np.array_equal(some.pictures[-1], photographs.pictures[-1])


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread", "two_kinds")
def test_the_command_judges_as_many_of_either(small_pool: Path, quick_weights: Path) -> None:
    done = call_command(command.main, "--pool", small_pool, "--weights", quick_weights, "--photographs", "2")
    assert done.code == 0, done.err
    rows = [line.split("|")[1:4] for line in done.out.splitlines() if line.startswith("| ")]
    seen, unseen = rows[-3:-1]
    assert seen[0].strip() == "trained on"
    assert unseen[0].strip() == "never trained on"
    assert 2 <= int(seen[1]) <= 4
    assert 2 <= int(unseen[1]) <= 4
    assert rows[-1][0].strip() == "apart"


def test_a_missing_pool_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["seen_photographs", "--pool", "nowhere"])
    assert command.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("seen_photographs: nowhere contains no .tar shards")
    assert error.count("\n") == 1
