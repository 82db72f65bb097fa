"""Jobs of a CSV file, one per row."""

from __future__ import annotations

import csv
import math
from pathlib import Path, PurePosixPath

from gknet.batch.job import Job
from gknet.errors import InputError
from gknet.files.formats import LAYERED_HINT, WRITABLE_HINT, explain_unwritable_suffix, is_writable

COLUMNS = ("composite", "mask", "foreground", "background", "x", "y", "scale", "output")
_KINDS = (("composite",), ("composite", "mask"), ("foreground", "background"))
_PLACE = ("x", "y", "scale")


def read_jobs(manifest: Path) -> list[Job]:
    """Return a job for every row that is not empty. Raises InputError, with the line's number, for an invalid row.

    The first row names the columns. Paths are relative to the manifest's folder. Separators are commas or semicolons.
    """
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{manifest} is not UTF-8 text.", "Save it as CSV in UTF-8.") from error
    except OSError as error:
        raise InputError(f"{manifest} cannot be opened: {error.strerror}.", "Check its name and folder.") from error
    lines = text.splitlines()
    delimiter = ";" if lines and ";" in lines[0] else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    jobs = []
    line_of: dict[str, int] = {}  # by output
    first = 1  # line of the row that is being read, which may span several
    try:
        columns = _read_columns(next(reader, []), manifest)
        first = reader.line_num + 1
        for row in reader:
            where = f"{manifest}, line {reader.line_num}"
            if len(row) > len(columns):
                raise InputError(f"{where}: more values than columns.", "Quote commas.")
            cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if cell.strip()}
            if cells:
                job = _parse_job(cells, manifest.parent, where)
                other = line_of.setdefault(job.output.casefold(), reader.line_num)
                if other != reader.line_num:
                    hint = "Change the output in one of them."
                    raise InputError(f"{where}: line {other} has the same output {job.output!r}.", hint)
                jobs.append(job)
            first = reader.line_num + 1
    except csv.Error as error:
        hint = f"Close every quote, and keep each value within {csv.field_size_limit():,} characters."
        raise InputError(f"{manifest}, line {first}: invalid CSV ({error}).", hint) from error
    if not jobs:
        raise InputError(f"{manifest} has no rows.", "Add a row for each picture below the column names.")
    return jobs


def _read_columns(row: list[str], manifest: Path) -> list[str]:
    """Return the names of the columns. Raises InputError for unknown, duplicate or missing ones."""
    columns = [name.strip().lower() for name in row]
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown or "output" not in columns or len(set(columns)) < len(columns):
        problem = f"has an unknown column {unknown[0]!r}" if unknown else "has no column output, or a duplicate column"
        raise InputError(f"{manifest} {problem}.", f"Its first row may name the columns: {', '.join(COLUMNS)}.")
    return columns


def _parse_job(cells: dict[str, str], folder: Path, where: str) -> Job:
    if broken := [name for name, cell in cells.items() if "\0" in cell]:
        raise InputError(f"{where}: {broken[0]} contains a NUL character.", "Save the table as CSV in UTF-8.")
    inputs = tuple(name for name in COLUMNS if name in cells and name not in (*_PLACE, "output"))
    if inputs not in _KINDS:
        raise InputError(
            f"{where}: the inputs do not form a scene.",
            "Give composite and mask, or foreground and background, or a layered file as composite.",
        )
    if "foreground" not in inputs and any(name in cells for name in _PLACE):
        raise InputError(f"{where}: x, y and scale do not apply to a composite.", "Leave them empty.")
    output = PurePosixPath(cells.get("output", "").replace("\\", "/"))
    if not output.name or output.is_absolute() or ":" in output.parts[0] or ".." in output.parts:
        hint = "Give a relative path, as in set/name.jpg."
        raise InputError(f"{where}: invalid output {cells.get('output', '')!r}.", hint)
    if not is_writable(output.suffix) and (inputs != ("composite",) or output.suffix.lower() != ".ora"):
        reason = explain_unwritable_suffix(output.suffix)
        hint = LAYERED_HINT if inputs == ("composite",) else WRITABLE_HINT
        raise InputError(f"{where}: the output {str(output)!r} cannot be written: {reason}.", hint)
    if output.parts[0].startswith("."):
        hint = "Use a name that does not start with a dot."
        raise InputError(f"{where}: the output {str(output)!r} would be hidden.", hint)
    try:
        place, scale = (int(cells.get("x", "0")), int(cells.get("y", "0"))), float(cells.get("scale", "1"))
    except ValueError:
        hint = "Give whole numbers for x and y, and a number such as 0.5 for scale."
        raise InputError(f"{where}: x, y or scale is not a number.", hint) from None
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"{where}: invalid scale {scale:g}.", "It must be above 0.")
    files = {name: folder / cells[name] for name in inputs}
    at = place if "x" in cells or "y" in cells else None
    return Job(output=str(output), at=at, scale=scale, **files)  # type: ignore[arg-type]
