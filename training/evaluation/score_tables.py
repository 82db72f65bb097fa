"""Tables of scores: by kind, source and share of the picture, and beside the paper's Tables 1 and 2."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.data.sample import SIZE
from training.evaluation.metrics import TOLERANCE, Record, Scores
from training.evaluation.published import ELSEWHERE, PAPER, PublishedRow, PublishedScores

SHARES = {"0–5 %": (0.0, 0.05), "5–15 %": (0.05, 0.15), "15–100 %": (0.15, 1.01)}
"""The paper's groups by the foreground's share of the picture: from the first bound up to, without, the second."""
UNKNOWN = "–"
METRICS = ("MSE", "PSNR dB", "fMSE")
"""As `Scores` and `PublishedScores` have them."""

Groups = dict[str, list[Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """A table as text, for the terminal, the page and Markdown alike.

    headings: one a column, the first over the names of the rows.   sections: rows of cells, in groups.
    notes: sentences below.
    """

    title: str
    headings: list[str]
    sections: list[list[list[str]]]
    notes: list[str] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Prints the table and its notes."""
        table = Table(title=escape(self.title))
        for index, heading in enumerate(self.headings):
            table.add_column(escape(heading), justify="right" if index else "left")
        for rows in self.sections:
            for row in rows:
                table.add_row(*map(escape, row))
            table.add_section()
        console.print(table)
        for note in self.notes:
            console.print(note, markup=False, highlight=False)


def in_markdown(table: ScoreTable) -> str:
    """The table in Markdown, its title above and its notes below."""
    lines = [f"**{table.title}**", "", _line(table.headings), "| --- |" + " ---: |" * (len(table.headings) - 1)]
    for name, *cells in itertools.chain.from_iterable(table.sections):
        lines.append(_line([name if any(cells) else f"**{name}**", *cells]))
    if table.notes:
        lines += ["", "<br>\n".join(table.notes)]
    return "\n".join(lines) + "\n"


def by_kind(records: Sequence[Record]) -> Groups:
    """The records of each kind, and "all", kinds in the order they come in."""
    return {**_grouped(records, lambda record: record.kind), "all": list(records)}


def by_share(records: Sequence[Record]) -> Groups:
    """The records of each of the paper's foreground shares, and "all"."""
    groups: Groups = {
        name: [record for record in records if low <= record.share < high] for name, (low, high) in SHARES.items()
    }
    return {**groups, "all": list(records)}


def by_source(records: Sequence[Record]) -> Groups:
    """The records of each collection of a pool's photographs, told by the first part of their keys; largest first."""
    groups = _grouped(records, lambda record: record.key.partition("_")[0])
    return {**dict(sorted(groups.items(), key=lambda group: -len(group[1]))), "all": list(records)}


def change_table(groups: Groups, heading: str, size: int = SIZE) -> ScoreTable:
    """A row a group, means over pictures, untouched -> harmonized.

    heading: what tells the groups apart.   size: height and width of the pictures.
    """
    *parts, everything = ([name, *_changes(records)] for name, records in groups.items())
    return ScoreTable(
        title=f"By {heading}, {size} x {size}, 8-bit levels: untouched → harmonized",
        headings=[heading, "pictures", "MSE", "PSNR dB", "fMSE", "fMSE change", "PSNR change", "not worse"],
        sections=[parts, [everything]],
        notes=[f"not worse: composites that get better, or worse by less than {TOLERANCE} dB."],
    )


def methods_table(methods: dict[str, Groups], heading: str, notes: list[str], size: int = SIZE) -> ScoreTable:
    """A row a method, a section a metric, a column a group.

    methods: each one's records of the same composites in the same groups.   heading, size: as `change_table`.
    """
    groups = next(iter(methods.values()))
    sections = [[["pictures", *(str(len(records)) for records in groups.values())]]]
    for metric, name in enumerate(METRICS):
        untouched = ["untouched", *_measured(groups, metric, lambda record: record.before)]
        rows = [[method, *_measured(found, metric, lambda record: record.after)] for method, found in methods.items()]
        sections.append([[name, *[""] * len(groups)], untouched, *rows])
    return ScoreTable(
        title=f"By {heading}, beside classical colour transfer, {size} x {size}, 8 bit",
        headings=["", *groups],
        sections=sections,
        notes=notes,
    )


def paper_table(groups: Groups, published: Sequence[PublishedRow], title: str, ours: str) -> ScoreTable:
    """Our figures below the paper's, a section a metric that it states, a column a group; ours: our row's name."""
    sections = [[["pictures", *(str(len(records)) for records in groups.values())]]]
    for metric, name in enumerate(METRICS):
        rows = _published_rows(groups, published, metric)
        if rows:
            rows.append(["Composite, measured here", *_measured(groups, metric, lambda record: record.before)])
            rows.append([ours, *_measured(groups, metric, lambda record: record.after)])
            sections.append([[name, *[""] * len(groups)], *rows])
    return ScoreTable(title=title, headings=["", *groups], sections=sections, notes=[f"Published: {PAPER}."])


def elsewhere_table(groups: Groups) -> ScoreTable:
    """What other publications than the paper state, a section a metric, a column a group; notes name the sources."""
    sources = list(dict.fromkeys(row.source for row in ELSEWHERE))
    marked = [row._replace(method=f"{row.method} [{sources.index(row.source) + 1}]") for row in ELSEWHERE]
    return ScoreTable(
        title="The same methods and others, as other publications state them",
        headings=["", *groups],
        sections=[
            [[name, *[""] * len(groups)], *_published_rows(groups, marked, metric)]
            for metric, name in enumerate(METRICS)
        ],
        notes=[f"[{number}] {source}." for number, source in enumerate(sources, start=1)],
    )


def _published_rows(groups: Groups, published: Sequence[PublishedRow], metric: int) -> list[list[str]]:
    """A row for every method of which the metric is published."""
    return [
        [row.method, *(_cell(row.figures.get(group), metric) for group in groups)]
        for row in published
        if any(figures[metric] is not None for figures in row.figures.values())
    ]


def _grouped(records: Sequence[Record], name: Callable[[Record], str]) -> Groups:
    groups: Groups = {}
    for record in records:
        groups.setdefault(name(record), []).append(record)
    return groups


def _line(cells: Sequence[str]) -> str:
    # A name may hold what would end its cell.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _changes(records: Sequence[Record]) -> list[str]:
    if not records:
        return ["0", *[UNKNOWN] * 6]
    before = np.mean([record.before for record in records], axis=0)  # (3,): MSE, PSNR, fMSE
    after = np.mean([record.after for record in records], axis=0)
    return [
        str(len(records)),
        f"{before[0]:.1f} → {after[0]:.1f}",
        f"{before[1]:.2f} → {after[1]:.2f}",
        f"{before[2]:.1f} → {after[2]:.1f}",
        f"{100 * (after[2] / before[2] - 1):+.1f} %" if before[2] else UNKNOWN,
        f"{after[1] - before[1]:+.2f}",
        f"{100 * np.mean([record.is_not_worse for record in records]):.1f} %",
    ]


def _measured(groups: Groups, metric: int, scores: Callable[[Record], Scores]) -> list[str]:
    return [
        f"{np.mean([scores(record)[metric] for record in records]):.2f}" if records else UNKNOWN
        for records in groups.values()
    ]


def _cell(figures: PublishedScores | None, metric: int) -> str:
    figure = None if figures is None else figures[metric]
    return UNKNOWN if figure is None else f"{figure:.2f}"
