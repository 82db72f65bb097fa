"""`gknet batch`: harmonize many pictures."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gknet.cli.numbers import WholeNumber
from gknet.cli.terminal import say, warn
from gknet.ending import list_ending_signals
from gknet.errors import InputError

if TYPE_CHECKING:
    from types import FrameType

    from gknet.batch.job import Job, Outcome
    from gknet.batch.run import Batch

SOME_FAILED = 1


def batch(
    source: Path,
    out: Path,
    /,
    *,
    strength: float = 1.0,
    variant: WholeNumber = 1,
    brightness: float = 0.0,
    warmth: float = 0.0,
    saturation: float = 0.0,
    layer: str | None = None,
    clean_edges: bool = False,
    model: str = "gknet-s",
    network_size: WholeNumber | None = None,
    device: str = "auto",
    report: Path | None = None,
    ray: bool = False,
) -> None:
    """Harmonize many pictures; failures are reported, and the rest continues.

        gknet batch pictures harmonized

    harmonizes every name.jpg with a name_mask.png beside it, and every layered file.

        gknet batch list.csv harmonized

    harmonizes the rows of a table. Its first row names the columns: output, and composite and mask, or foreground,
    background, x, y and scale. After an interruption, the same command continues where it stopped.

    Parameters
    ----------
    source
        Folder of pictures, or CSV file.
    out
        Folder for the results. It is created if it is missing.
    strength
        0 leaves the objects unchanged, 1 harmonizes them fully.
    variant
        Number of the version to write, 1 (the network's own) to 5. A picture whose object has fewer fails.
    brightness
        Brightens the harmonized objects or, below 0, darkens them: -100 to 100.
    warmth
        Above 0 warmer, below 0 cooler: -100 to 100.
    saturation
        Above 0 stronger colors, below 0 weaker: -100, which is gray, to 100.
    layer
        Name of the layer to harmonize in layered files. Default: the topmost visible one with transparency.
    clean_edges
        First remove the old backgrounds' colors from the cut-outs' soft edges. Needs PyMatting.
    model
        Weights: a name listed by `gknet info`, a .safetensors file, or a folder written by `save_pretrained`.
    network_size
        Long side of the network's input, in pixels, 64 to 1024. Default: the network's own.
    device
        auto, cpu, cuda or mps.
    report
        JSON file for a report on every picture.
    ray
        Distribute the work over a Ray cluster (RAY_ADDRESS; by default, this machine). Needs the extra `ray`.
    """
    from gknet.batch.run import Batch, collect_jobs, run_on_threads

    began = time.monotonic()
    jobs = collect_jobs(source, out)
    if clean_edges and any(job.mask for job in jobs):
        hint = "Leave it out, or list foregrounds and backgrounds in a CSV file."
        raise InputError(
            "--clean-edges does not apply to composites, whose edges are already mixed with the scene.", hint
        )
    if report is not None:
        _check_report(report, jobs, out)
    from gknet.batch import on_ray
    from gknet.batch import report as reports
    from gknet.batch.journal import Journal
    from gknet.batch.workbench import make_settings
    from gknet.transfer.trims import Trims

    if ray:
        on_ray.check_available()
    run_jobs = on_ray.run_on_ray if ray else run_on_threads
    settings = make_settings(
        model=model,
        strength=strength,
        variant=variant,
        trims=Trims(brightness, warmth, saturation),
        network_size=network_size,
        clean_edges=clean_edges,
        layer=layer,
        device=device,
    )
    with _catch_signals() as (stop, number), Journal.open(out) as journal:
        todo = Batch(jobs, journal, settings, stop)
        outcomes = []
        try:
            with _show_progress(todo) as report_outcome:
                for outcome in todo.run(run_jobs, device):
                    outcomes.append(outcome)
                    report_outcome(outcome)
        finally:
            outcomes += todo.settled
            if report is not None:
                seconds = time.monotonic() - began
                reports.write(report, outcomes, settings, device=device, seconds=seconds, stopped=stop.is_set())
    counts = Counter[str](outcome.state for outcome in outcomes)
    say(_summarize(counts))
    if stop.is_set() and counts["not reached"]:  # otherwise the signal came after the last picture
        warn("Stopped. Finished pictures are kept; run the same command to continue.")
        sys.exit(128 + number[0])
    if counts["failed"]:
        sys.exit(SOME_FAILED)


def _check_report(report: Path, jobs: list[Job], out: Path) -> None:
    from gknet.files.picture import check_destination

    check_destination(report)
    pictures = {path.resolve() for job in jobs for path in (*job.inputs, out / job.output)}
    if report.resolve() in pictures:
        raise InputError(f"{report} is one of the pictures.", "Choose another name for the report.")


def _summarize(counts: Counter[str]) -> str:
    parts = [f"Wrote {counts['written']} {'picture' if counts['written'] == 1 else 'pictures'}"]
    for state, words in (("kept", "were done before"), ("failed", "failed"), ("not reached", "are left")):
        if counts[state]:
            parts.append(f"{counts[state]} {words}")
    return f"{', '.join(parts)}."


@contextmanager
def _catch_signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """Yield an event that Ctrl-C or another ending signal sets, and the signals received. A second one ends at once."""
    stop, numbers = threading.Event(), list[int]()

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        numbers.append(number)
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, *list_ending_signals())}
    try:
        yield stop, numbers
    finally:
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)


@contextmanager
def _show_progress(batch: Batch) -> Iterator[Callable[[Outcome], None]]:
    """Show a progress bar on a terminal, and print a line for every failure and note as it occurs."""
    from gknet.files.codecs.raster import COMPRESSED_AGAIN

    console = Console(stderr=True)
    columns = (
        TextColumn("Harmonizing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(batch.todo), failed="")
        failed = 0
        said = set[str]()

        def show(outcome: Outcome) -> None:
            nonlocal failed
            if outcome.state == "failed":
                failed += 1
                warn(f"{outcome.message} {outcome.hint}")
            notes = [note for note in outcome.notes if note not in said]
            if notes:
                warn(f"Note on {outcome.job.output}: {'; '.join(notes)}.")
                said.update(note for note in notes if note == COMPRESSED_AGAIN)  # true of many
            progress.update(task, failed=f"{failed} failed" if failed else "")

        def show_and_advance(outcome: Outcome) -> None:
            show(outcome)
            progress.advance(task, outcome.state != "not reached")

        for why, count in batch.redo_reasons.items():
            warn(f"{count} {'picture is' if count == 1 else 'pictures are'} harmonized again: {why}.")
        for outcome in batch.settled:
            show(outcome)
        yield show_and_advance
