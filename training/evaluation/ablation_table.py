"""The paper's Table 4 with the rows that were trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from gknet.network import weights
from gknet.network.complexity import count_flops, count_parameters
from training.engine.run import Parts, TrainingRun
from training.evaluation.metrics import Record
from training.evaluation.published import PAPER, TABLE_4
from training.evaluation.score_tables import UNKNOWN, ScoreTable

HEADINGS = [
    "",
    "parameters",
    "GFLOPs",
    "MSE",
    "fMSE",
    "of untouched",
    "PSNR dB",
    "than row before",
    "each seed",
    "seconds",
]


class AblationRun(NamedTuple):
    """One row of one seed. records: of every composite judged, in one order for all.   seconds: of processor time."""

    records: list[Record]
    seconds: float


def ablation_table(
    run: TrainingRun, rows: dict[Parts, list[AblationRun]], first: list[Record] | None, start: str | None
) -> ScoreTable:
    """A row an ablation, means over its seeds, below what is there without any training.

    rows: by their parts, each with an entry a seed.   first: records of what all rows start from, and
    start: the name of the weights it was taken from; None where they start from nothing.
    """
    records = next(iter(rows.values()))[0].records
    before = _mean([record.before.fmse for record in records])
    given = [["untouched", "", "", *_scores([[record._replace(after=record.before) for record in records]], before)]]
    if first is not None:
        given.append(["statistics' path", "", "", *_scores([first], before)])
    trained = []
    last = None if first is None else [first]
    for parts, seeds in rows.items():
        results = [one.records for one in seeds]
        trained.append(
            [
                parts,
                *_size(run, parts),
                *_scores(results, before),
                *(("", "") if last is None else _against(results, last)),
                f"{_mean([one.seconds for one in seeds]):.0f}",
            ]
        )
        last = results
    return ScoreTable(
        title=_title(run, records, len(next(iter(rows.values()))), start),
        headings=HEADINGS,
        sections=[[[*row, "", "", ""] for row in given], trained, _published()],
        notes=_notes(len({record.key for record in records}), start),
    )


def _title(run: TrainingRun, records: Sequence[Record], seeds: int, start: str | None) -> str:
    origin = "from nothing" if start is None else f"from the statistics' path of {start}"
    return (
        f"Table 4 on {len(records)} composites of the validation split: {run.preset}, {run.samples:,} composites of "
        f"{run.size} x {run.size} a row, {seeds} {'seed' if seeds == 1 else 'seeds'}, {origin}"
    )


def _notes(photographs: int, start: str | None) -> list[str]:
    notes = [
        "Judged at 256 x 256, 8-bit levels, by the network alone; means over composites and seeds, ± the standard "
        "deviation over the seeds.",
        "than row before: the paired difference of fMSE, ± its standard error over the "
        f"{photographs} photographs; below 0 the part helps. Seconds: of one processor, a training.",
    ]
    if start is not None:
        notes.append(
            "Every row starts from trained colour statistics: the table tells what the network's parts add to them, "
            "not what each reaches by itself."
        )
    return [*notes, f"[1] {PAPER}; on iHarmony4, trained there: not comparable with the rows above."]


def _published() -> list[list[str]]:
    """The paper's rows, in our columns."""
    return [
        [
            f"paper: {row.method} [1]",
            *[UNKNOWN] * 2,
            f"{row.figures['all'].mse:.2f}",
            f"{row.figures['all'].fmse:.2f}",
            UNKNOWN,
            f"{row.figures['all'].psnr:.2f}",
            *[UNKNOWN] * 3,
        ]
        for row in TABLE_4
    ]


@cache
def _size(run: TrainingRun, parts: Parts) -> list[str]:
    """A row's parameters and arithmetic."""
    net = weights.build(replace(run, parts=parts).network()).eval()
    return [f"{count_parameters(net) / 1e6:.2f} M", f"{count_flops(net) / 1e9:.2f}"]


def _scores(results: Sequence[list[Record]], before: float) -> list[str]:
    """MSE, fMSE, its share of the untouched one's, and PSNR: means over composites, and their spread over seeds."""
    mse, psnr, fmse = np.mean([[record.after for record in records] for records in results], axis=1).T
    return [
        _with_spread(mse, 1),
        _with_spread(fmse, 1),
        f"{100 * _mean(fmse) / before:.1f} %",
        _with_spread(psnr, 2),
    ]


def _against(results: Sequence[list[Record]], last: Sequence[list[Record]]) -> list[str]:
    """The paired difference of fMSE to the row before with its standard error, and each seed's difference.

    last: as many seeds, or one for all.
    """
    difference = _fmse(results) - _fmse(last)  # (seeds, composites)
    # A photograph's composites go well or ill together: the photographs are what was sampled.
    _, photograph = np.unique([record.key for record in results[0]], return_inverse=True)
    each = np.bincount(photograph, difference.mean(axis=0)) / np.bincount(photograph)
    error = f"{each.std(ddof=1) / len(each) ** 0.5:.1f}" if len(each) > 1 else UNKNOWN
    return [f"{difference.mean():+.1f} ± {error}", ", ".join(f"{seed:+.1f}" for seed in difference.mean(axis=1))]


def _fmse(results: Sequence[list[Record]]) -> np.ndarray:
    """(seeds, composites)."""
    return np.array([[record.after.fmse for record in records] for records in results])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _with_spread(values: Sequence[float], digits: int) -> str:
    mean = f"{_mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"
