"""Extrapolate the learning curve: `python -m training.research.learning_curve docs/learning-curve.csv`.

Fits share = a + b * n ** -c to each series of points, with a, b and c not negative. Here share is the remaining fMSE as
a share of the untouched composite's, and n is the number of composites seen, in millions. Then refits the curve many
times with noise on every point, and once without each point; the range of these fits is the uncertainty.

The file's columns: series; millions, of composites; fmse and untouched; luck, the standard deviation of fmse between
runs or choices of composites; source, where the point comes from.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gknet.errors import InputError
from training.evaluation import quality_plot
from training.evaluation.command import run_command
from training.evaluation.score_tables import ScoreTable, in_markdown

POWERS = np.geomspace(0.03, 4, 300)
"""Values of c to try: at 0.03 the curve is nearly a logarithm, at 4 it is flat after a doubling."""
DRAWS = 4000
SEED = 0
RANGE = (5, 95)
"""Percentiles of the draws to report."""
TARGET = 0.40
"""Target share of the fMSE: 60 % removed."""
FURTHER = (2, 10, 100)
"""Multiples of the last point's composites at which the curve is evaluated."""
COLUMNS = ["series", "millions", "fmse", "untouched", "luck", "source"]


class Points(NamedTuple):
    """A series of points.

    millions, share, luck: (n,) float64; share and luck relative to the untouched fMSE.
    """

    millions: np.ndarray
    share: np.ndarray
    luck: np.ndarray


class Curve(NamedTuple):
    """share = floor + gain * millions ** -power; fields may be arrays of equal shape, one curve per element."""

    floor: np.ndarray
    gain: np.ndarray
    power: np.ndarray

    def predict_share(self, millions: float) -> np.ndarray:
        """Return the remaining share after this many million composites."""
        share: np.ndarray = self.floor + self.gain * millions**-self.power
        return share

    def find_millions(self, share: float) -> np.ndarray:
        """Return the millions of composites at which each curve falls to the share; infinity if it never does."""
        above = share - self.floor
        with np.errstate(divide="ignore", over="ignore"):
            return np.where(above > 0, (self.gain / np.maximum(above, 1e-12)) ** (1 / self.power), np.inf)


def fit_curves(millions: np.ndarray, shares: np.ndarray) -> Curve:
    """Fit the curve of least squares to each row of shares.

    millions: (n,), at least three different ones.
    shares: (m, n).
    Returns a Curve of (m,).
    """
    steps = millions[None] ** -POWERS[:, None]  # (p, n)
    middle, mean = steps.mean(axis=1), shares.mean(axis=1)  # (p,), (m,)
    centred = steps - middle[:, None]
    # For a given power, the rest is a straight line whose slope and floor must not be negative.
    gain = np.maximum(shares @ centred.T / np.square(centred).sum(axis=1), 0)  # (m, p)
    floor = mean[:, None] - gain * middle
    through_zero = shares @ steps.T / np.square(steps).sum(axis=1)
    gain = np.where(floor < 0, through_zero, gain)
    floor = np.maximum(floor, 0)
    made = floor[:, :, None] + gain[:, :, None] * steps  # (m, p, n)
    best = np.square(made - shares[:, None]).sum(axis=2).argmin(axis=1)
    rows = np.arange(len(shares))
    return Curve(floor[rows, best], gain[rows, best], POWERS[best])


def resample_curves(points: Points) -> Curve:
    """Return the curves of DRAWS noisy copies of the points; always the same."""
    moved = np.random.default_rng(SEED).normal(points.share, points.luck, (DRAWS, len(points.share)))
    parts = [fit_curves(points.millions, part) for part in np.array_split(moved, 20)]
    return Curve(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def fit_leave_one_out(points: Points) -> Curve:
    """Return the curves fitted without the first point, without the second, and so on."""
    others = [np.arange(len(points.share)) != left_out for left_out in range(len(points.share))]
    curves = [fit_curves(points.millions[kept], points.share[None, kept]) for kept in others]
    return Curve(*(np.concatenate(values) for values in zip(*curves, strict=True)))


def read_points(path: Path) -> dict[str, Points]:
    """Read the series of a file. Raises InputError, naming the invalid line, or OSError if the file is missing."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        if lines.fieldnames != COLUMNS:
            raise InputError(f"{path} is not a learning curve.", f"Expected the columns {', '.join(COLUMNS)}.")
        for line in lines:
            try:
                millions, fmse, untouched, luck = (float(line[column]) for column in COLUMNS[1:5])
            except (TypeError, ValueError):
                raise InputError(
                    f"Line {lines.line_num} of {path} must have numbers in {', '.join(COLUMNS[1:5])}."
                ) from None
            if min(millions, fmse, untouched, luck) <= 0 or not line["source"]:
                raise InputError(f"Line {lines.line_num} of {path} must have numbers above 0 and a source.")
            rows.setdefault(line["series"], []).append((millions, fmse / untouched, luck / untouched))
    series = {name: Points(*np.array(sorted(found)).T) for name, found in rows.items()}
    for name, points in series.items():
        if len(points.millions) < 4 or len(set(points.millions)) < 4:
            raise InputError(
                f"The series {name!r} has too few points.", "Provide at least four points at different sizes."
            )
    if not series:
        raise InputError(f"{path} contains no points.")
    return series


def build_table(series: dict[str, Points]) -> ScoreTable:
    """Return a row per series: the fit, and its predictions for more composites."""
    rows = []
    for name, points in series.items():
        (curve,), draws, fewer = (
            [fit_curves(points.millions, points.share[None])],
            resample_curves(points),
            fit_leave_one_out(points),
        )
        last = points.millions[-1]
        reached = draws.find_millions(TARGET)
        rows.append(
            [
                name,
                str(len(points.share)),
                f"{curve.floor[0]:.3f} + {curve.gain[0]:.3f} n^-{curve.power[0]:.2f}",
                f"{_format_range(draws.floor)} ({fewer.floor.min():.3f}–{fewer.floor.max():.3f})",
                *(
                    f"{curve.predict_share(times * last)[0]:.3f} ({_format_range(draws.predict_share(times * last))})"
                    for times in FURTHER
                ),
                "–".join(_format_millions(count) for count in np.percentile(reached, RANGE, method="nearest")),
                f"{100 * np.mean(np.isinf(reached)):.0f} %",
            ]
        )
    headings = ["series", "points", "fit", "a: range (without one point)"]
    headings += [f"{times} times as many" for times in FURTHER]
    headings += [f"millions for {TARGET:.2f}", f"never {TARGET:.2f}"]
    return ScoreTable(
        title="fMSE left, share of the untouched composite's, against n million composites: a + b·n^-c",
        headings=headings,
        sections=[rows],
        notes=[
            f"Ranges: {RANGE[0]} to {RANGE[1]} % of {DRAWS} fits to points moved by their variation. In brackets: "
            "the lowest and highest a of the fits without one point. Never: share of the fits whose curve ends above."
        ],
    )


def _format_range(values: np.ndarray) -> str:
    low, high = np.percentile(values, RANGE)
    return f"{low:.3f}–{high:.3f}"


def _format_millions(count: float) -> str:
    return "never" if np.isinf(count) else f"{count:.3g}" if count < 1e4 else "over 10,000"


def draw_plot(path: Path, series: dict[str, Points]) -> None:
    """Draw a plot with a panel per series. Raises OSError if the file can't be written."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(4.2 * len(series), 4.2), layout="constrained")
    band = f"{RANGE[0]}–{RANGE[1]} % of the fits"
    panels = figure.subplots(1, len(series), sharey=True, squeeze=False)[0]
    for axis, (name, points) in zip(panels, series.items(), strict=True):
        millions = np.geomspace(points.millions[0], points.millions[-1] * FURTHER[1], 100)
        draws = resample_curves(points)
        low, high = np.percentile([draws.predict_share(n) for n in millions], RANGE, axis=1)
        axis.fill_between(millions, low, high, color="C0", alpha=0.2, linewidth=0, label=band)
        (curve,) = [fit_curves(points.millions, points.share[None])]
        axis.plot(millions, [curve.predict_share(n)[0] for n in millions], color="C0", label="fit")
        axis.errorbar(points.millions, points.share, points.luck, fmt="o", color="C1", label="measured, ± variation")
        axis.axhline(TARGET, color="0.4", linestyle="--", linewidth=1, label=f"target: {TARGET:.2f}")
        axis.axvline(points.millions[-1], color="0.7", linewidth=1, label="last measurement")
        axis.set(xscale="log", xlabel="composites seen, millions", title=name)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(color="0.92")
    panels[0].set_ylabel("fMSE left, share of the untouched composites'")
    panels[0].legend(fontsize=9)
    figure.savefig(path, dpi=110)


def _run(options: argparse.Namespace) -> None:
    if options.plot:
        quality_plot.check(options.plot)
    series = read_points(options.points)
    print(in_markdown(build_table(series)))
    if options.plot:
        draw_plot(options.plot, series)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.research.learning_curve", description=__doc__)
    parser.add_argument("points", type=Path, help="CSV file of points")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="PNG or SVG file for a plot of the curves")
    return parser.parse_args()


def main() -> int:
    options = _parse_arguments()
    return run_command("learning_curve", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
