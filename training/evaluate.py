"""Evaluate weights: `python -m training.evaluate` with one of --iharmony4, --pool and --pairs.

Harmonizes every composite through the same pipeline as users' pictures. Prints the paper's metrics (section 4.2) on the
8-bit results by kind and by foreground share. Pictures are 256 x 256, or --size with --pool. For iHarmony4, it also
prints the paper's Tables 1 and 2 with these results as a row. For --pool, it also prints the metrics by source and
those of classical colour transfer. -o writes the scores of every image, the tables, and a page of the worst and best
cases. --plot draws the paper's Fig. 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from gknet.errors import PictureError
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from gknet.network.device import choose_device
from training.data import iharmony4, pairs
from training.data.bad_files import BadFiles
from training.data.judging_sets.validation import open_pool
from training.data.sample import SIZE, Sample
from training.data.triplets import read_samples
from training.evaluation import quality_plot
from training.evaluation.cases import harmonize_samples
from training.evaluation.classical import CLASSICAL
from training.evaluation.command import defer_interrupts, run_command
from training.evaluation.metrics import Record, make_record
from training.evaluation.published import TABLE_1, TABLE_2
from training.evaluation.report import Extremes, write_report
from training.evaluation.score_tables import (
    SHARES,
    ScoreTable,
    by_kind,
    by_share,
    by_source,
    change_table,
    elsewhere_table,
    methods_table,
    paper_table,
)


def _open_samples(options: argparse.Namespace, bad: BadFiles) -> tuple[int, Iterator[Sample]]:
    """Return the largest possible number of composites and an iterator over those named on the command line."""
    if options.pool:
        return open_pool(options.pool, options.size, bad=bad)
    if options.pairs:
        triplets = pairs.list_triplets(options.pairs, bad=bad)
    else:
        triplets = iharmony4.list_triplets(options.iharmony4, "test", bad=bad)
    return len(triplets), read_samples(triplets, bad=bad)


def _build_tables(options: argparse.Namespace, results: dict[str, list[Record]], ours: str) -> list[ScoreTable]:
    """Return the tables to print from each method's records. ours: the name of the evaluated weights."""
    records = results[ours]
    kinds, shares = by_kind(records), by_share(records)
    size = options.size
    shown = [change_table(shares, "foreground share", size)]
    if options.pool:
        shown.append(change_table(by_source(records), "source", size))
    if not options.pairs:
        shown.insert(0, change_table(kinds, "sub-set" if options.iharmony4 else "kind", size))
    if options.iharmony4:
        subsets = {subset: kinds.get(subset, []) for subset in (*iharmony4.SUBSETS, "all")}
        shown.append(paper_table(subsets, TABLE_1, "Table 1 of the paper: iHarmony4's sub-sets", ours))
        parts = {share: shares[share] for share in SHARES}
        shown.append(paper_table(parts, TABLE_2, "Table 2 of the paper: iHarmony4 by the foreground's share", ours))
        shown.append(elsewhere_table(subsets))
    if len(results) > 1:
        notes = [f"{method.name}: {method.source}." for method in CLASSICAL]
        found = {name: by_kind(records) for name, records in results.items()}
        shown.append(methods_table(found, "kind", notes, size))
        found = {name: by_share(records) for name, records in results.items()}
        shown.append(methods_table(found, "foreground share", [], size))
    return shown


def _run(options: argparse.Namespace, bad: BadFiles) -> None:
    if options.plot:
        quality_plot.check(options.plot)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    path = options.weights or weights.find(options.model)
    with defer_interrupts():
        harmonizer = Harmonizer(weights.load(path), choose_device(options.device))
    count, found = _open_samples(options, bad)
    # Avoid wrapped rows in a pipe or a narrow window.
    console = Console(width=max(130, Console().width))
    ours = f"{path.name} {weights.compute_digest(path)}"
    beside = CLASSICAL if options.pool else ()
    results: dict[str, list[Record]] = {name: [] for name in (*(method.name for method in beside), ours)}
    extremes = Extremes()
    for case in harmonize_samples(
        harmonizer, track(found, f"Harmonizing with {escape(path.name)}", count, console=console)
    ):
        results[ours].append(case.record)
        for method in beside:
            results[method.name].append(make_record(case.sample, method(case.sample.composite, case.sample.mask)))
        if options.output:
            extremes.offer(case)
    if not results[ours]:
        raise PictureError("No composite could be used.", "Check the files that were left out.")
    tables = _build_tables(options, results, ours)
    for table in tables:
        table.show(console)
    source: Path = options.pool or options.pairs or options.iharmony4
    if options.output:
        write_report(options.output, f"{ours} on {source.resolve().name}", tables, results[ours], extremes)
    if options.plot:
        data = (
            quality_plot.IHARMONY4 if options.iharmony4 else f"{source.resolve().name}, {len(results[ours])} composites"
        )
        quality_plot.draw(options.plot, quality_plot.measure_marks(results, {ours: harmonizer.net.config}), data)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--iharmony4", metavar="DIR", type=Path, help="iHarmony4's folder; its test lists are evaluated"
    )
    source.add_argument("--pool", metavar="DIR", type=Path, help="folder of shards; its validation split is evaluated")
    source.add_argument(
        "--pairs",
        metavar="DIR",
        type=Path,
        help="any folder with composite/, mask/ and real/: pictures with the same names, such as composite/dog.jpg, "
        "mask/dog.png, real/dog.jpg; masks are white in the foreground",
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="where to write scores.csv, tables.md and index.html"
    )
    parser.add_argument(
        "--size",
        metavar="PIXELS",
        type=int,
        default=SIZE,
        help=f"height and width of the pool's composites, {SIZE} or more",
    )
    parser.add_argument("--plot", metavar="FILE", type=Path, help="PNG or SVG file for a plot of quality against size")
    parser.add_argument("--skip-bad", action="store_true", help="skip and count unusable files")
    parser.add_argument(
        "--model", default="gknet-s", help="shipped weights by name, a weight file, or a folder with one"
    )
    parser.add_argument("--weights", type=Path, help="weight file to evaluate; default: the shipped one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    options = parser.parse_args()
    if options.size < SIZE or (options.size != SIZE and not options.pool):
        parser.error(f"--size must be at least {SIZE} and needs --pool")
    return options


def main() -> int:
    options = _parse_arguments()
    bad = BadFiles(skip=options.skip_bad)
    try:
        return run_command("evaluate", lambda: _run(options, bad))
    finally:
        bad.print_summary()


if __name__ == "__main__":
    sys.exit(main())
