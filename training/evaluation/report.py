"""What an evaluation found, in a folder: `scores.csv`, a line an image, `tables.md`, and a page, `index.html`."""

from __future__ import annotations

import base64
import heapq
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from training.evaluation.cases import Case
from training.evaluation.metrics import Record
from training.evaluation.records import write_records
from training.evaluation.score_tables import ScoreTable, in_markdown
from training.evaluation.text_files import replace_text_file

SHOWN = 24
"""Cases at either end of the page."""
JPEG_QUALITY = 92


class Extremes:
    """The cases with the most and the least change; no other case's pictures are kept.

    size: how many of each.
    """

    def __init__(self, size: int = SHOWN) -> None:
        self.size = size
        self._seen = 0
        self._high: list[tuple[float, int, Case]] = []
        self._low: list[tuple[float, int, Case]] = []

    def offer(self, case: Case) -> None:
        """Keeps the case as long as it is among the most extreme ones."""
        for kept, rank in ((self._high, case.change), (self._low, -case.change)):
            heapq.heappush(kept, (rank, -self._seen, case))  # the number in between decides ties, never a picture
            if len(kept) > self.size:
                heapq.heappop(kept)
        self._seen += 1

    @property
    def worst(self) -> list[Case]:
        """The cases whose fMSE grew most, or fell least, that first."""
        return [case for _, _, case in sorted(self._high, reverse=True)]

    @property
    def best(self) -> list[Case]:
        """The cases whose fMSE fell most, that first; none that is among the worst already."""
        taken = {number for _, number, _ in self._high}
        return [case for _, number, case in sorted(self._low, reverse=True) if number not in taken]


def write_report(
    folder: Path, title: str, tables: Sequence[ScoreTable], records: Sequence[Record], extremes: Extremes
) -> None:
    """Writes `scores.csv`, `tables.md` and `index.html` into the folder; they appear when all are complete.

    The page needs no other file and no network. Raises OSError where the folder cannot be written to.
    """
    with (
        replace_text_file(folder / "scores.csv") as scores,
        replace_text_file(folder / "tables.md") as text,
        replace_text_file(folder / "index.html") as page,
    ):
        write_records(scores, records)
        text.write("\n".join(map(in_markdown, tables)))
        page.writelines(_page(title, tables, extremes))


def _page(title: str, tables: Sequence[ScoreTable], extremes: Extremes) -> Iterator[str]:
    """The page, piece by piece."""
    yield _HEAD.format(title=escape(title))
    for table in tables:
        yield from _table(table)
    yield _HOW_SORTED
    for heading, cases in (("Worst cases", extremes.worst), ("Best cases", extremes.best)):
        if cases:
            yield f"<h2>{heading}</h2>\n"
            yield from map(_case, cases)
    yield "</main>\n</body>\n</html>\n"


def _table(table: ScoreTable) -> Iterator[str]:
    yield f'<div class="table"><table>\n<caption>{escape(table.title)}</caption>\n<thead><tr>'
    yield "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    yield "</tr></thead>\n"
    for rows in table.sections:
        yield "<tbody>\n"
        for name, *cells in rows:
            yield f'<tr><th scope="row">{escape(name)}</th>'
            yield "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>\n"
        yield "</tbody>\n"
    yield "</table></div>\n"
    if table.notes:
        yield '<p class="notes">' + "<br>\n".join(map(escape, table.notes)) + "</p>\n"


def _case(case: Case) -> str:
    record, sample = case.record, case.sample
    pictures = {
        "composite": _embedded(sample.composite),
        "harmonized": _embedded(case.harmonized),
        "real": _embedded(sample.real),
        "mask": _embedded(sample.mask),
    }
    name = escape(record.key)
    figures = "".join(
        f'<figure><img src="{source}" alt="{what} of {name}"><figcaption>{what}</figcaption></figure>\n'
        for what, source in pictures.items()
    )
    before, after = record.before, record.after
    return (
        f'<section class="case">\n<h3>{name} <span>{escape(record.kind)}</span></h3>\n'
        f"<p>fMSE {before.fmse:.1f} → {after.fmse:.1f} (<b>{case.change:+.1f}</b>) · "
        f"PSNR {before.psnr:.2f} → {after.psnr:.2f} dB ({after.psnr - before.psnr:+.2f}) · "
        f"MSE {before.mse:.1f} → {after.mse:.1f} · foreground {100 * record.share:.1f} % of the picture</p>\n"
        f'<div class="pictures">\n{figures}</div>\n</section>\n'
    )


def _embedded(picture: np.ndarray) -> str:
    """A data address of a picture, (H, W, 3) uint8 as JPEG or (H, W) bool as PNG."""
    buffer = io.BytesIO()
    if picture.dtype == np.bool_:
        kind = "png"
        Image.fromarray(picture).save(buffer, kind)
    else:
        kind = "jpeg"
        # No colour subsampling: it is colours that are compared here.
        Image.fromarray(picture).save(buffer, kind, quality=JPEG_QUALITY, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


_HOW_SORTED = f"""<p>Below are the cases at both ends, at most {SHOWN} each, sorted by how much the fMSE changed
(harmonized minus untouched, 8-bit levels squared): that is the harm or the good that can be seen. By the change in
PSNR, which is a ratio, the worst would be composites that were almost right before and still look so.</p>
"""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 72rem; margin: 0 auto; padding: 1rem; }}
.table {{ overflow-x: auto; margin-top: 2rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; padding-bottom: 0.3rem; }}
th, td {{ padding: 0.15rem 0.8rem; text-align: right; white-space: nowrap; }}
th:first-child {{ padding-left: 0; text-align: left; }}
tbody th {{ font-weight: 400; }}
tbody {{ border-top: 1px solid #8886; }}
.notes, figcaption, h3 span {{ opacity: 0.7; font-size: 0.875rem; }}
.case {{ border-top: 1px solid #8886; margin-top: 1.5rem; }}
h3 {{ margin: 0.8rem 0 0; overflow-wrap: anywhere; }}
h3 span {{ font-weight: 400; }}
.case p {{ margin: 0.2rem 0 0.6rem; }}
.pictures {{ display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.6rem; }}
@media (max-width: 40rem) {{ .pictures {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }} }}
figure {{ margin: 0; }}
img {{ width: 100%; height: auto; display: block; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
"""
