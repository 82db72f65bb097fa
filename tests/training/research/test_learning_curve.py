"""The curve that says what more training would bring."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gknet.errors import InputError
from tests.training.calling import call_command
from training.research import learning_curve as command
from training.research.learning_curve import (
    COLUMNS,
    Curve,
    Points,
    build_table,
    fit_curves,
    fit_leave_one_out,
    read_points,
    resample_curves,
)

ROOT = Path(__file__).parents[3]
MILLIONS = np.array([0.5, 1.0, 2.0, 4.0, 8.0])


def made(floor: float, gain: float, power: float, millions: np.ndarray = MILLIONS) -> np.ndarray:
    return floor + gain * millions**-power


@pytest.mark.parametrize(("floor", "gain", "power"), [(0.4, 0.1, 1.0), (0.3, 0.3, 0.5), (0.0, 0.5, 0.25)])
def test_a_curve_is_found_in_its_own_points(floor: float, gain: float, power: float) -> None:
    curve = fit_curves(MILLIONS, made(floor, gain, power)[None])
    assert curve.floor == pytest.approx(floor, abs=0.01)
    assert curve.gain == pytest.approx(gain, abs=0.01)
    assert curve.predict_share(80)[0] == pytest.approx(made(floor, gain, power, np.array([80.0]))[0], abs=0.005)


def test_neither_floor_nor_gain_falls_below_zero() -> None:
    falling, rising = np.linspace(0.4, 0.01, 5), np.linspace(0.4, 0.5, 5)
    curves = fit_curves(MILLIONS, np.array([falling, rising]))
    assert curves.floor[0] == 0
    assert curves.gain[1] == 0
    assert curves.floor[1] == pytest.approx(rising.mean())


def test_the_composites_for_a_share_are_where_the_curve_has_it_or_nowhere() -> None:
    curve = Curve(np.array([0.3, 0.45]), np.array([0.2, 0.1]), np.array([0.5, 0.5]))
    needed = curve.find_millions(0.4)
    assert curve.predict_share(needed[0])[0] == pytest.approx(0.4)
    assert np.isinf(needed[1])


def test_more_luck_gives_a_wider_range_that_holds_the_truth() -> None:
    widths = []
    for luck in (0.001, 0.01):
        draws = resample_curves(Points(MILLIONS, made(0.4, 0.1, 1.0), np.full(5, luck)))
        low, high = np.percentile(draws.predict_share(80), (5, 95))
        assert low < made(0.4, 0.1, 1.0, np.array([80.0]))[0] < high
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_leaving_out_a_point_that_is_off_changes_the_curve() -> None:
    share = made(0.4, 0.1, 1.0)
    share[-1] += 0.03
    curves = fit_leave_one_out(Points(MILLIONS, share, np.full(5, 0.01)))
    assert len(curves.floor) == 5
    assert curves.floor[-1] == pytest.approx(0.4, abs=0.005)
    assert abs(curves.floor[:-1] - 0.4).min() > 0.005


def test_the_points_of_the_docs_are_read_and_drawn(tmp_path: Path) -> None:
    points = ROOT / "docs" / "learning-curve.csv"
    plot = tmp_path / "curve.png"
    done = call_command(command.main, points, "--plot", plot)
    assert done.code == 0
    for name, found in read_points(points).items():
        assert f"| {name} | {len(found.share)} |" in done.out
        assert (found.share < 1).all()
    with Image.open(plot) as picture:
        assert min(picture.size) > 400


def test_a_target_out_of_reach_is_called_so() -> None:
    flat = Points(MILLIONS, made(0.45, 0.05, 1.5), np.full(5, 0.001))
    (row,) = build_table({"flat": flat}).sections[0]
    assert row[-2:] == ["never–never", "100 %"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "is not a learning curve. Expected the columns series, millions"),
        (["a,b"], "is not a learning curve"),
        ([",".join(COLUMNS)], "contains no points"),
        ([",".join(COLUMNS), "x,many,1,2,0.1,here"], "Line 2 of"),
        ([",".join(COLUMNS), "x,1,1"], "Line 2 of"),
        ([",".join(COLUMNS), "x,0,1,2,0.1,here"], "must have numbers above 0"),
        ([",".join(COLUMNS), "x,1,1,2,0.1,"], "and a source"),
        ([",".join(COLUMNS), *[f"x,{n},1,2,0.1,here" for n in (1, 2, 3)]], "The series 'x' has too few points"),
    ],
)
def test_a_file_that_holds_no_curve_is_one_clear_line(
    lines: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError):
        read_points(path)
    monkeypatch.setattr(sys, "argv", ["learning_curve", str(path)])
    assert command.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("learning_curve: ")
    assert told in error
    assert error.count("\n") == 1
