"""The tables of failures, and `failures.csv` with one line per case and all its measurements."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from training.evaluation.failures.error_parts import Parts
from training.evaluation.failures.kinds import (
    CASES,
    DOUBTS,
    FAILURES,
    LEADING,
    VISIBLE,
    Change,
    Kind,
    Measured,
    Result,
    Scene,
    find_kinds,
)
from training.evaluation.score_tables import UNKNOWN, ScoreTable

PART_NAMES = {
    "mean": "mean colour",
    "affine": "3×4 matrix",
    "curve": "curves",
    "place": "across the object",
    "rest": "rest",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A composite and its measurements. recolouring: its kind of composite."""

    key: str
    recolouring: str
    scene: Scene
    result: Result

    @property
    def names(self) -> list[str]:
        return [*find_kinds(FAILURES, self.result), *find_kinds(CASES, self.scene)]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A pasted object and its measurements."""

    key: str
    scene: Scene
    change: Change

    @property
    def names(self) -> list[str]:
        return [*find_kinds(DOUBTS, self.change), *find_kinds(CASES, self.scene)]


def build_kinds_table(worst: Sequence[Failure], everything: Sequence[Failure], title: str) -> ScoreTable:
    """Return how frequent each kind is among the worst and among all, and its share of the total error.

    title: names the results.
    Neither sequence may be empty.
    """
    held, total = (sum(failure.result.fmse_after for failure in group) for group in (worst, everything))

    def row(name: str, of_worst: list[bool], of_all: list[bool]) -> list[str]:
        ratio = np.mean(of_worst) / np.mean(of_all) if any(of_all) else None
        having = sum(one.result.fmse_after for one, holds in zip(everything, of_all, strict=True) if holds)
        return [
            name,
            *map(_format_count, (of_worst, of_all)),
            UNKNOWN if ratio is None else f"{ratio:.1f}",
            f"{100 * having / total:.1f} %" if total else UNKNOWN,
        ]

    def rows(kinds: Mapping[str, Kind[Measured]], measured: str) -> list[list[str]]:
        return [
            row(name, *([kind.applies(getattr(one, measured)) for one in group] for group in (worst, everything)))
            for name, kind in kinds.items()
        ]

    recolourings = [
        row(f"`{name}`", *([one.recolouring == name for one in group] for group in (worst, everything)))
        for name in dict.fromkeys(failure.recolouring for failure in everything)
    ]
    return ScoreTable(
        title=f"What went wrong: {title}",
        headings=["kind", f"{len(worst)} worst", f"all {len(everything)}", "times as often", "of all fMSE left"],
        sections=[rows(FAILURES, "result"), rows(CASES, "scene"), recolourings],
        notes=[
            f"The {len(worst)} worst hold {100 * held / total:.1f} % of all fMSE left."
            if total
            else "No error is left.",
            f"The mean colour's kinds need an error of the mean of {VISIBLE:g} levels; the parts' kinds as much, and "
            f"{100 * LEADING:g} % of the fMSE left.",
            *_list_rules(FAILURES),
            *_list_rules(CASES),
        ],
    )


def build_parts_table(worst: Sequence[Failure], everything: Sequence[Failure]) -> ScoreTable:
    """Return the parts of the remaining error, by kind of composite and for the worst."""
    groups = {
        name: [failure for failure in everything if failure.recolouring == name]
        for name in dict.fromkeys(failure.recolouring for failure in everything)
    }
    shown = {f"`{name}`": found for name, found in groups.items()} | {f"{len(worst)} worst": worst, "all": everything}
    rows = []
    for name, found in shown.items():
        parts = np.mean([failure.result.parts for failure in found], axis=0)  # (5,)
        shares = 100 * parts / parts.sum() if parts.any() else parts
        rows.append([name, str(len(found)), f"{parts.sum():.1f}", *(f"{share:.1f} %" for share in shares)])
    return ScoreTable(
        title="Parts of the remaining fMSE",
        headings=["composites", "pictures", "fMSE after", *(PART_NAMES[part] for part in Parts._fields)],
        sections=[rows],
        notes=[
            "Each part is the share that one more correction, fitted to the real photograph, would remove: "
            "a shift of all colors; a 3×4 matrix; a cubic for each channel; the matrix varying across the object."
        ],
    )


def build_doubts_table(pasted: Sequence[Doubt]) -> ScoreTable:
    """Return how frequent each kind is among pasted objects; there must be at least one."""
    rows = [
        [
            [name, _format_count([kind.applies(getattr(doubt, measured)) for doubt in pasted])]
            for name, kind in kinds.items()
        ]
        for kinds, measured in ((DOUBTS, "change"), (CASES, "scene"))
    ]
    changes = np.array([doubt.change for doubt in pasted])  # (n, 5)
    return ScoreTable(
        title="Pasted objects, whose right colours nobody knows",
        headings=["kind", f"{len(pasted)} objects"],
        sections=rows,
        notes=[
            f"Change in the median {np.median(changes[:, 0]):.1f} levels, at most {changes[:, 0].max():.1f}; "
            f"its part that varies across the object at most {changes[:, 1].max():.1f}.",
            *_list_rules(DOUBTS),
        ],
    )


def _format_count(holds: Sequence[bool]) -> str:
    return f"{sum(holds)} ({100 * np.mean(holds):.1f} %)"


def _list_rules(kinds: Mapping[str, Kind[Measured]]) -> list[str]:
    return [f"{name}: {kind.rule}." for name, kind in kinds.items()]


COLUMNS = [
    "set",
    "key",
    "recolouring",
    "kinds",
    *Scene._fields,
    *(field for field in Result._fields if field != "parts"),
    *(f"part_{field}" for field in Parts._fields),
    "change_size",
    "change_place",
]


def write_failures(
    file: TextIO, worst: Sequence[Failure], everything: Sequence[Failure], pasted: Sequence[Doubt]
) -> None:
    """Write the worst first, then all others, then pasted objects, whose unknown fields stay empty."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    taken = set(map(id, worst))
    rest = [failure for failure in everything if id(failure) not in taken]
    for group, failures in (("worst", worst), ("other", rest)):
        for failure in failures:
            figures = failure.result._asdict()
            parts = figures.pop("parts")
            figures |= {f"part_{name}": part for name, part in parts._asdict().items()}
            writer.writerow(_make_line(group, failure, {"recolouring": failure.recolouring}, figures))
    for doubt in pasted:
        figures = doubt.change._asdict()
        figures |= {"change_size": figures.pop("size"), "change_place": figures.pop("place")}
        writer.writerow(_make_line("pasted", doubt, {}, figures))


def _make_line(group: str, case: Failure | Doubt, labels: dict[str, str], figures: dict[str, float]) -> dict[str, str]:
    numbers = {name: f"{figure:.6f}" for name, figure in (case.scene._asdict() | figures).items()}
    return {"set": group, "key": case.key, "kinds": "; ".join(case.names), **labels, **numbers}
