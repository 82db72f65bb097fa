"""A batch from its jobs to its outcomes: what is finished is kept, the rest is done and given its name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from gknet.batch.job import Job, Outcome, Settings
from gknet.batch.journal import Journal
from gknet.errors import HarmonizeError, InputError

Many = Callable[[list[Job], Settings, str, Path, threading.Event], Iterator[Outcome]]
"""Does jobs (with settings, on a device, into a folder for the unfinished, until stopped): outcomes as they come."""


def run_on_threads(
    jobs: list[Job], settings: Settings, device: str, unfinished: Path, stop: threading.Event
) -> Iterator[Outcome]:
    """Does jobs on this machine. Raises as Workbench."""
    from gknet.batch.workbench import Workbench

    bench = Workbench(settings, device, unfinished, stop)
    with ThreadPoolExecutor(bench.threads, "batch") as pool:
        try:
            futures = [pool.submit(bench.harmonize_job, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            stop.set()
            raise


class Batch:
    """Jobs and where their outputs go.   stop: once set, what is in hand is ended, and nothing else is begun."""

    def __init__(self, jobs: list[Job], journal: Journal, settings: Settings, stop: threading.Event) -> None:
        self._journal = journal
        self._settings = settings
        self._stop = stop
        self.todo: list[Job] = []
        self.settled: list[Outcome] = []
        """What needs no work: outputs that are kept, and jobs that cannot be done."""
        self.redo_reasons: dict[str, int] = {}
        """Why outputs that were there are made again, and how many."""
        for job in jobs:
            self._sort(job)

    def _sort(self, job: Job) -> None:
        try:
            if job.trouble is not None:
                raise job.trouble
            why = self._journal.find_reason(job, self._settings)
        except HarmonizeError as error:
            self.settled.append(Outcome.from_error(job, error))
            return
        if why is None:
            self.settled.append(Outcome(job=job, state="kept"))
            return
        self.todo.append(job)
        if why != "new":
            self.redo_reasons[why] = self.redo_reasons.get(why, 0) + 1

    def run(self, many: Many, device: str) -> Iterator[Outcome]:
        """One for every job in `todo`, as they come; results have their names by then."""
        if not self.todo:
            return
        done = many(self.todo, self._settings, device, self._journal.unfinished, self._stop)
        with closing(done):  # type: ignore[type-var]
            for outcome in done:
                yield self._publish(outcome)

    def _publish(self, outcome: Outcome) -> Outcome:
        if outcome.state != "written":
            return outcome
        try:
            self._journal.publish(outcome, self._settings)
        except HarmonizeError as error:
            return Outcome.from_error(outcome.job, error, outcome.seconds)
        return replace(outcome, unfinished=None)


def collect_jobs(source: Path, out: Path) -> list[Job]:
    """The jobs in a folder or a CSV file. Raises InputError if they are not clear, or an output would be an input."""
    from gknet.batch import folder, manifest

    if source.is_dir():
        jobs = folder.find_jobs(source)
    elif source.suffix.lower() == ".csv":
        jobs = manifest.read_jobs(source)
    else:
        raise InputError(f"{source} is neither a folder nor a CSV file.", "Give a folder of pictures, or a .csv.")
    named: dict[str, Job] = {}
    inputs = {path.resolve() for job in jobs for path in job.inputs}
    for job in jobs:
        if job.trouble is not None:
            continue
        other = named.setdefault(job.output.casefold(), job)
        if other is not job:
            which = f"{other.inputs[0].name} and {job.inputs[0].name}"
            raise InputError(f"{which} would both be written as {job.output}.", "Give one of them another name.")
        if (out / job.output).resolve() in inputs:
            raise InputError(f"{out / job.output} is one of the inputs.", "Choose another folder for the output.")
    return jobs
