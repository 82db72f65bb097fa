"""The jobs in a CSV file: one a row."""

from __future__ import annotations

import csv
import math
from pathlib import Path, PurePosixPath

from gknet.batch.job import Job
from gknet.errors import InputError

COLUMNS = ("composite", "mask", "foreground", "background", "x", "y", "scale", "output")
_KINDS = (("composite",), ("composite", "mask"), ("foreground", "background"))
_PLACE = ("x", "y", "scale")


def read_jobs(manifest: Path) -> list[Job]:
    """A job for every row that is not empty. Raises InputError, with the line's number, for what is not clear.

    The first row names the columns. Files are looked for from the manifest's own folder on. Commas or semicolons.
    """
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{manifest} is not text in UTF-8.", "Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise InputError(f"{manifest} cannot be opened: {error.strerror}.", "Check its name and folder.") from error
    lines = text.splitlines()
    delimiter = ";" if lines and ";" in lines[0] else ","
    rows = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    columns = [name.strip().lower() for name in rows.fieldnames or []]
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or "output" not in columns or len(set(columns)) < len(columns):
        what = f"has a column {unknown[0]!r}" if unknown else "lacks the column output, or has one twice"
        raise InputError(f"{manifest} {what}.", f"Its first row names columns of: {', '.join(COLUMNS)}.")
    rows.fieldnames = columns
    jobs = []
    for row in rows:
        if None in row:
            raise InputError(f"{manifest}, line {rows.line_num}: there are more values than columns.", "Quote commas.")
        cells = {name: cell.strip() for name, cell in row.items() if cell and cell.strip()}
        if cells:
            jobs.append(_parse_job(cells, manifest.parent, f"{manifest}, line {rows.line_num}"))
    if not jobs:
        raise InputError(f"{manifest} has no rows.", "Give a row for each picture below the names of the columns.")
    return jobs


def _parse_job(cells: dict[str, str], folder: Path, where: str) -> Job:
    given = tuple(name for name in COLUMNS if name in cells and name not in (*_PLACE, "output"))
    if given not in _KINDS:
        raise InputError(
            f"{where}: it is not clear what to harmonize.",
            "Give composite and mask, or foreground and background, or a file of layers as composite.",
        )
    if "foreground" not in given and any(name in cells for name in _PLACE):
        raise InputError(f"{where}: a composite has no place or scale to choose.", "Leave x, y and scale empty.")
    output = PurePosixPath(cells.get("output", "").replace("\\", "/"))
    if not output.name or output.is_absolute() or ":" in output.parts[0] or ".." in output.parts:
        raise InputError(f"{where}: the output is no name below the output folder.", "Give one, as in set/name.jpg.")
    if output.parts[0].startswith("."):
        raise InputError(f"{where}: the output {str(output)!r} would be hidden.", "Begin its name with a letter.")
    try:
        at, scale = (int(cells.get("x", "0")), int(cells.get("y", "0"))), float(cells.get("scale", "1"))
    except ValueError:
        hint = "x and y are whole numbers, scale is a number as in 0.5."
        raise InputError(f"{where}: x, y or scale is not a number.", hint) from None
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"{where}: the scale is {scale:g}.", "Choose one above 0.")
    files = {name: folder / cells[name] for name in given}
    return Job(output=str(output), at=at, scale=scale, **files)  # type: ignore[arg-type]
