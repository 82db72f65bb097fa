"""The paper's Fig. 2: quality against parameters and against arithmetic.

Quality is the share of the untouched composites' MSE that is left. Methods measured on other data than iHarmony4 stand
in panels of their own: the shares of two data sets say nothing about each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gknet.errors import InputError, MissingPackageError
from gknet.network import weights
from gknet.network.complexity import count_flops, count_parameters
from gknet.network.config import GKNetConfig, preset
from training.data.sample import SIZE
from training.evaluation.metrics import Record
from training.evaluation.published import TABLE_1

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IHARMONY4 = "iHarmony4's test lists"
ENDINGS = (".png", ".svg")
CLOSEST = 0.055
"""Least distance of two labels, share of the panel's height."""


class Mark(NamedTuple):
    """A method.   share: of the untouched MSE that is left, 1 = all.   size: parameters and operations, if known."""

    name: str
    share: float
    size: tuple[int, int] | None = None


def check(path: Path) -> None:
    """Raise InputError if a plot can't be written to the path, MissingPackageError without matplotlib."""
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path} has no ending of a plot.", f"Choose a name that ends in {' or '.join(ENDINGS)}.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} is missing.", "Create it, or name another one.")
    if find_spec("matplotlib") is None:
        raise MissingPackageError("A plot needs the package matplotlib.", "figures")


def measure_marks(results: Mapping[str, Sequence[Record]], networks: Mapping[str, GKNetConfig]) -> list[Mark]:
    """Return a mark for each method with records.   networks: settings of the methods that are networks.

    Raises InputError if the untouched composites have no error.
    """
    marks = []
    for name, records in results.items():
        before = sum(record.before.mse for record in records)
        if not before:
            raise InputError("The composites are equal to their real photographs: there is nothing to draw.")
        share = sum(record.after.mse for record in records) / before
        config = networks.get(name)
        marks.append(Mark(name, share, _size(config, config.network_size) if config else None))
    return marks


def read_published_marks() -> list[Mark]:
    """Return the methods of Table 1. The paper's text states no sizes: GKNet has that of our implementation."""
    untouched, *rows = [(row.method, row.figures["all"].mse) for row in TABLE_1]
    assert untouched[1] is not None
    marks = [Mark(method, mse / untouched[1]) for method, mse in rows if mse is not None]
    papers = preset("gknet")
    return [
        Mark("GKNet (size of our version)", mark.share, _size(papers, SIZE)) if mark.name == "GKNet" else mark
        for mark in marks
    ]


def draw(path: Path, ours: Sequence[Mark], data: str) -> None:
    """Writes the plot.

    ours: what was measured here.   data: what it was measured on; with IHARMONY4 it stands among the published methods.
    Raises OSError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = {f"{IHARMONY4}: published": read_published_marks()}
    if data == IHARMONY4:
        rows = {f"{IHARMONY4}: published, and measured here": [*read_published_marks(), *ours]}
    else:
        rows[f"Measured here on {data}: other data, not comparable with the row above"] = list(ours)
    figure = Figure(figsize=(11, 1.2 + 3.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, sharex="col", sharey="row", squeeze=False)
    for axes, (title, marks) in zip(grid, rows.items(), strict=True):
        axes[0].set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes[0].set_ylabel("MSE left, % of the untouched composites'")
        _panel(axes[0], marks, 0)
        _panel(axes[1], marks, 1)
        _name(axes[1], marks)
    grid[-1][0].set_xlabel("parameters, millions")
    grid[-1][1].set_xlabel("GFLOPs per picture at the network's input size")
    figure.supxlabel("Horizontal lines: methods without parameters, or whose size the paper doesn't state", fontsize=9)
    figure.savefig(path, dpi=120)


def _panel(axis: Axes, marks: Sequence[Mark], which: int) -> None:
    """A point for each method of known size, a line across for the others.   which: 0 parameters, 1 operations."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set(xscale="log", yscale="log", ylim=_limits(marks))
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter(NullFormatter())
    axis.grid(color="0.92")
    axis.axhline(100, color="0.5", linewidth=1)
    axis.annotate("untouched", (1, 100), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.5")
    for index, mark in enumerate(marks):
        colour = f"C{index % 10}"
        if mark.size is None:
            axis.axhline(100 * mark.share, color=colour, linewidth=1, linestyle="--")
        else:
            axis.plot(mark.size[which] / (1e6, 1e9)[which], 100 * mark.share, "o", color=colour, markersize=9)
    axis.margins(x=0.4)


def _name(axis: Axes, marks: Sequence[Mark]) -> None:
    """The methods' names to the right of a panel, each beside its height or as near to it as there is room."""
    low, high = _limits(marks)
    heights = {index: math.log(100 * mark.share / low) / math.log(high / low) for index, mark in enumerate(marks)}
    place = -CLOSEST
    for index, height in sorted(heights.items(), key=lambda item: item[1]):
        place = max(height, place + CLOSEST)
        mark, colour = marks[index], f"C{index % 10}"
        axis.annotate(
            f"{'●' if mark.size else '- -'} {mark.name}, {100 * mark.share:.1f} %",
            xy=(1, height),
            xytext=(1.07, place),
            xycoords="axes fraction",
            verticalalignment="center",
            fontsize=9,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def _limits(marks: Sequence[Mark]) -> tuple[float, float]:
    """From below the least share to above all of them and the untouched one, percent."""
    shares = [100 * mark.share for mark in marks]
    return min([50, *shares]) / 1.3, max([100, *shares]) * 1.3


@cache
def _size(config: GKNetConfig, shown: int) -> tuple[int, int]:
    """Parameters, and operations for a picture that the network is shown shown x shown pixels large."""
    net = weights.build(config).eval()
    return count_parameters(net), count_flops(net, shown)
