"""Analyse where weights fail: `python -m training.evaluation.failures --pool SHARDS -o FOLDER`.

Harmonizes every composite of the validation split and some objects pasted between its photographs. Classifies what went
wrong by rules (`training.evaluation.failures.kinds`) and shows the composites with the highest remaining fMSE. Prints
the tables and writes failures.csv (one line per case), failures.md (the tables), and the contact sheets worst.jpg and
pasted.jpg. Pasted objects have no ground truth, so only their change is measured.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

from gknet.errors import InputError, PictureError
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from gknet.network.device import choose_device
from training.data.bad_files import BadFiles
from training.data.judging_sets.pasted_objects import PastedObject, paste_objects
from training.data.judging_sets.validation import make_validation_samples, read_validation
from training.data.synthesis.recoloring import KINDS
from training.evaluation.cases import Case, harmonize_samples
from training.evaluation.command import defer_interrupts, run_command
from training.evaluation.failures.kinds import measure_change, measure_result, measure_scene
from training.evaluation.failures.sheet import Tile, write_sheet
from training.evaluation.failures.tables import (
    Doubt,
    Failure,
    build_doubts_table,
    build_kinds_table,
    build_parts_table,
    write_failures,
)
from training.evaluation.score_tables import in_markdown
from training.evaluation.text_files import replace_text_file

WORST = 60
PASTED = 20


def measure_failure(case: Case) -> Failure:
    """Measure a harmonized composite."""
    sample = case.sample
    measured = measure_result(sample.composite, case.harmonized, sample.real, sample.mask)
    return Failure(sample.key, sample.kind, measure_scene(sample.composite, sample.mask), measured)


def measure_composites(
    found: Iterable[Case], count: int, sources: list[str]
) -> tuple[list[Failure], list[tuple[Failure, Tile]]]:
    """Return all measurements, and the worst with their tiles, worst first. Other cases' pictures aren't kept.

    count: largest number of worst cases.
    sources: key prefixes that may be among them; all if empty.
    """
    everything: list[Failure] = []
    worst: list[tuple[float, int, Failure, Tile]] = []
    for number, case in enumerate(found):
        one = measure_failure(case)
        everything.append(one)
        if is_from_source(one.key, sources):
            # The number breaks ties: pictures can't be compared.
            heapq.heappush(worst, (one.result.fmse_after, -number, one, _make_tile(one, case)))
            if len(worst) > count:
                heapq.heappop(worst)
    return everything, [(one, tile) for _, _, one, tile in sorted(worst, key=lambda kept: kept[:2], reverse=True)]


def harmonize_pasted_objects(harmonizer: Harmonizer, found: Iterable[PastedObject]) -> Iterator[tuple[Doubt, Tile]]:
    """Harmonize each pasted object and yield its measurements and tile."""
    for case in found:
        harmonized = harmonizer(case.composite, case.mask)
        doubt = Doubt(
            case.key, measure_scene(case.composite, case.mask), measure_change(case.composite, harmonized, case.mask)
        )
        text = f"changed by {doubt.change.size:.1f} levels"
        pictures = {"pasted": case.composite, "harmonized": harmonized}
        yield doubt, Tile([case.key, f"{text}: {_join_names(doubt)}"], case.mask, pictures)


def is_from_source(key: str, sources: list[str]) -> bool:
    """Return whether a photograph's key begins with one of the sources, or whether no source is given."""
    return not sources or any(key.startswith(f"{source}_") for source in sources)


def _make_tile(one: Failure, case: Case) -> Tile:
    figures = f"fMSE {one.result.fmse_before:.0f} before, {one.result.fmse_after:.0f} after"
    pictures = {"composite": case.sample.composite, "harmonized": case.harmonized, "real": case.sample.real}
    return Tile([f"{one.key}, {one.recolouring}, {figures}", _join_names(one)], case.sample.mask, pictures)


def _join_names(case: Failure | Doubt) -> str:
    return ", ".join(case.names) or "nothing named"


def _run(options: argparse.Namespace, bad: BadFiles) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.weights or weights.find_shipped("gknet-s")
    with defer_interrupts():
        harmonizer = Harmonizer(weights.load(path), choose_device(options.device))
    photographs = read_validation(options.pool, bad=bad)
    if not any(is_from_source(key, options.source) for key in photographs.keys):
        raise InputError(
            f"No photograph of the validation split comes from {' or '.join(options.source)}.",
            "Use the part of a key before the first underscore.",
        )
    console = Console(stderr=True)
    count = len(photographs.keys) * len(KINDS)
    found = harmonize_samples(harmonizer, make_validation_samples(photographs))
    shown = track(found, "Harmonizing composites", count, console=console, disable=not console.is_terminal)
    everything, worst = measure_composites(shown, options.worst, options.source)
    if not worst:
        raise PictureError("No usable composite could be made.", "Check the photographs and their masks.")
    objects = list(paste_objects(photographs, options.pasted, lambda key: is_from_source(key, options.source)))
    shown_objects = track(objects, "Harmonizing pasted objects", console=console, disable=not console.is_terminal)
    doubts = list(harmonize_pasted_objects(harmonizer, shown_objects))
    of = f"{path.name} {weights.compute_digest(path)}"
    if options.source:
        of += f", worst of {' and '.join(options.source)}"
    _write(options.output, of, everything, worst, doubts)


def _write(
    folder: Path,
    of: str,
    everything: list[Failure],
    worst: list[tuple[Failure, Tile]],
    doubts: list[tuple[Doubt, Tile]],
) -> None:
    """Print the tables and write all files. of: names the results."""
    failures, measured = [one for one, _ in worst], [doubt for doubt, _ in doubts]
    tables = [build_kinds_table(failures, everything, of), build_parts_table(failures, everything)]
    if doubts:
        tables.append(build_doubts_table(measured))
    printed = "\n".join(map(in_markdown, tables))
    with replace_text_file(folder / "failures.csv") as lines, replace_text_file(folder / "failures.md") as text:
        write_failures(lines, failures, everything, measured)
        text.write(printed)
    write_sheet(folder / "worst.jpg", [tile for _, tile in worst])
    # Remove the sheet of an earlier run.
    (folder / "pasted.jpg").unlink(missing_ok=True)
    if doubts:
        write_sheet(folder / "pasted.jpg", [tile for _, tile in doubts])
    print(printed)
    print(f"Wrote {folder}", file=sys.stderr)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.failures", description=__doc__)
    parser.add_argument(
        "--pool", metavar="DIR", type=Path, required=True, help="folder of shards; its validation split is evaluated"
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder to write into")
    parser.add_argument(
        "--worst", metavar="N", type=_positive, default=WORST, help="number of worst composites to show"
    )
    parser.add_argument("--pasted", metavar="N", type=_positive, default=PASTED, help="number of pasted objects")
    parser.add_argument(
        "--source",
        metavar="NAME",
        action="append",
        default=[],
        help="show only photographs whose key begins with NAME_, as in flowers_8980145452; can be repeated. "
        "All composites are still measured",
    )
    parser.add_argument("--skip-bad", action="store_true", help="skip and count unusable files")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text}")
    return number


def main() -> int:
    options = _parse_arguments()
    bad = BadFiles(skip=options.skip_bad)
    try:
        return run_command("failures", lambda: _run(options, bad))
    finally:
        bad.print_summary()


if __name__ == "__main__":
    sys.exit(main())
