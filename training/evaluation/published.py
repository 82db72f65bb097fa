"""What others published for iHarmony4's test lists, from `published.toml`, to be printed beside our own figures.

TABLE_1 to TABLE_4 are the paper's tables, whole. ELSEWHERE is what other publications state for methods of that time.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple


class PublishedScores(NamedTuple):
    """Means over a group of pictures; None where the source states none."""

    mse: float | None = None
    psnr: float | None = None
    fmse: float | None = None


class PublishedRow(NamedTuple):
    """A method's line. figures: by group of pictures.   source: where they were read."""

    method: str
    figures: dict[str, PublishedScores]
    source: str


def _rows(table: dict[str, Any], source: str) -> tuple[PublishedRow, ...]:
    """The rows of a table, whose figures stand in the order of its groups and metrics."""
    return tuple(
        PublishedRow(
            method,
            {
                group: PublishedScores(**dict(zip(table["metrics"], values, strict=True)))
                for group, values in zip(table["groups"], figures, strict=True)
            },
            source,
        )
        for method, figures in table["methods"].items()
    )


_DATA = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))

PAPER: str = _DATA["paper"]["source"]
TABLE_1 = _rows(_DATA["paper"]["table_1"], PAPER)
"""By sub-set and "all"."""
TABLE_2 = _rows(_DATA["paper"]["table_2"], PAPER)
"""By share of the foreground; no PSNR."""
TABLE_3: dict[str, float] = _DATA["paper"]["table_3"]
"""Bradley-Terry scores of 50 people on 99 real composites."""
TABLE_4 = _rows(_DATA["paper"]["table_4"], PAPER)
"""The ablation on "all", each row with all parts of the rows before it."""
ELSEWHERE = tuple(row for table in _DATA["elsewhere"] for row in _rows(table, table["source"]))
"""By sub-set and "all", from other publications than the paper."""
