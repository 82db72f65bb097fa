"""Read and write records as `scores.csv`, one line per composite."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from training.evaluation.metrics import Record, Scores

COLUMNS = ["key", "kind", "foreground_share"]
COLUMNS += [f"{metric}_{when}" for when in ("before", "after") for metric in Scores._fields]


def write_records(file: TextIO, records: Iterable[Record]) -> None:
    """Write the records below a header line."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for record in records:
        figures = [record.share, *record.before, *record.after]
        writer.writerow([record.key, record.kind, *(f"{figure:.6f}" for figure in figures)])


def read_records(path: Path) -> list[Record]:
    """Read the records that `write_records` wrote. Raises ValueError for another kind of file, OSError for a missing
    one.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if lines[:1] != [COLUMNS]:
        raise ValueError(f"{path} is not a scores file: expected the columns {', '.join(COLUMNS)}")
    return [_parse_record(*line) for line in lines[1:]]


def _parse_record(key: str, kind: str, *figures: str) -> Record:
    share, *scores = map(float, figures)
    return Record(key, kind, share, Scores(*scores[:3]), Scores(*scores[3:]))
