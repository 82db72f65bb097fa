"""A batch from its jobs to their outcomes: finished outputs are kept, the rest is harmonized and published."""

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

RunJobs = Callable[[list[Job], Settings, str, Path, threading.Event], Iterator[Outcome]]
"""Runs jobs (with settings, on a device, into a folder for unfinished results, until stopped) and yields outcomes."""


def run_on_threads(
    jobs: list[Job], settings: Settings, device: str, unfinished: Path, stop: threading.Event
) -> Iterator[Outcome]:
    """Do jobs on this machine. Raises as Workbench."""
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
    """Jobs and their output folder.   stop: once set, running jobs end, and no other job starts."""

    def __init__(self, jobs: list[Job], journal: Journal, settings: Settings, stop: threading.Event) -> None:
        self._journal = journal
        self._settings = settings
        self._stop = stop
        self.todo: list[Job] = []
        self.settled: list[Outcome] = []
        """Outcomes of jobs without work: outputs that are kept, and jobs that cannot be done."""
        self.redo_reasons: dict[str, int] = {}
        """Reasons why existing outputs are made again, with the number of outputs."""
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

    def run(self, run_jobs: RunJobs, device: str) -> Iterator[Outcome]:
        """Yield an outcome for every job in `todo` as it finishes; results are published before."""
        if not self.todo:
            return
        outcomes = run_jobs(self.todo, self._settings, device, self._journal.unfinished, self._stop)
        with closing(outcomes):  # type: ignore[type-var]
            for outcome in outcomes:
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
    """Return the jobs of a folder or a CSV file. Raises InputError for invalid jobs, or if an output would be an
    input.
    """
    from gknet.batch import folder, manifest

    if source.is_dir():
        jobs = folder.find_jobs(source)
    elif source.suffix.lower() == ".csv":
        jobs = manifest.read_jobs(source)
    else:
        raise InputError(f"{source} is neither a folder nor a CSV file.", "Pass a folder of pictures or a .csv file.")
    by_output: dict[str, Job] = {}
    inputs = {path.resolve() for job in jobs for path in job.inputs}
    for job in jobs:
        if job.trouble is not None:
            continue
        other = by_output.setdefault(job.output.casefold(), job)
        if other is not job:
            pair = f"{other.inputs[0].name} and {job.inputs[0].name}"
            raise InputError(f"{pair} would both be written as {job.output}.", "Give one of them another name.")
        if (out / job.output).resolve() in inputs:
            raise InputError(f"{out / job.output} is one of the inputs.", "Choose another folder for the output.")
    return jobs
