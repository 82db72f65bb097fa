"""A batch on a Ray cluster: one network per actor, each on a core or a GPU of its own.

Plain actors, not Ray Data's map_batches: a job is a pair of file names, so there are no rows to move. Ray Data would
need pyarrow and pandas, group jobs in blocks that a dead worker loses completely, and report only complete blocks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gknet.batch.job import Job, Outcome, Settings
from gknet.errors import HarmonizeError, MissingPackageError, WeightsError

AT_ONCE = 2
"""Jobs per actor: while one computes, the other is read or written."""
RETRIES = 2
"""Number of retries of a job whose actor died."""
_LOOK_S = 0.2


def check_available() -> None:
    """Raise MissingPackageError if Ray is not installed."""
    if find_spec("ray") is None:
        raise MissingPackageError("--ray needs the package ray.", "ray")


class Worker:
    """An actor: a workbench with one slot."""

    def __init__(self, settings: Settings, device: str, unfinished: Path) -> None:
        from gknet.batch.workbench import Workbench
        from gknet.network import weights

        if weights.compute_digest(weights.find(settings.model)) != settings.weights:
            raise WeightsError(
                f"A node of the cluster has different weights {settings.model!r}.",
                "Install the same version on every node.",
            )
        self._bench = Workbench(settings, device, unfinished, threading.Event(), slots=1)

    def harmonize_job(self, job: Job) -> Outcome:
        """Do a job, as Workbench."""
        return self._bench.harmonize_job(job)


def run_on_ray(
    jobs: list[Job], settings: Settings, device: str, unfinished: Path, stop: threading.Event
) -> Iterator[Outcome]:
    """Do jobs on the cluster at RAY_ADDRESS, or on this machine. Every node needs access to the files.

    Raises HarmonizeError if no cluster can be reached or no actor can start.
    """
    import ray

    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise HarmonizeError(f"Ray cannot be reached: {error}.", "Check RAY_ADDRESS, or leave out --ray.") from error
    try:
        yield from _spread_jobs([_make_absolute(job) for job in jobs], settings, device, unfinished.absolute(), stop)
    finally:
        if ours:
            ray.shutdown()


def _make_absolute(job: Job) -> Job:
    """Return the job with absolute paths, because actors have working directories of their own."""
    names = ("composite", "mask", "foreground", "background")
    paths = {name: path.absolute() for name in names if (path := getattr(job, name)) is not None}
    return replace(job, **paths)


def _spread_jobs(
    jobs: list[Job], settings: Settings, device: str, unfinished: Path, stop: threading.Event
) -> Iterator[Outcome]:
    import ray

    actors = _start_actors(len(jobs), settings, device, unfinished)
    todo = iter(jobs)
    running: dict[Any, tuple[Any, Job]] = {}

    def begin(actor: Any) -> None:
        job = next(todo, None)
        if job is not None:
            running[actor.harmonize_job.remote(job)] = (actor, job)

    try:
        for actor in actors * AT_ONCE:
            begin(actor)
        while running and not stop.is_set():
            done, _ = ray.wait(list(running), timeout=_LOOK_S)
            for reference in done:
                actor, job = running.pop(reference)
                begin(actor)
                yield _get_outcome(reference, job)
        for job in (*(job for _, job in running.values()), *todo):
            yield Outcome(job=job, state="not reached")
    finally:
        for actor in actors:
            ray.kill(actor)


def _start_actors(most: int, settings: Settings, device: str, unfinished: Path) -> list[Any]:
    """Start an actor for every GPU or core of the cluster, but no more than there are jobs; return them when ready."""
    import ray

    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(resources.get("GPU", 0)) if device != "cpu" else 0
    count = max(1, min(most, gpus or int(resources.get("CPU", 1))))
    needs = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    kind = ray.remote(Worker).options(**needs, max_restarts=-1, max_task_retries=RETRIES, max_concurrency=AT_ONCE)
    return [kind.remote(settings, device, unfinished) for _ in range(count)]


def _get_outcome(reference: Any, job: Job) -> Outcome:
    import ray

    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except ray.exceptions.RayError as error:
        if getattr(error, "actor_init_failed", False):
            reason = str(error).strip().splitlines()[-1]
            hint = "Install the same version of gknet on every machine of the cluster."
            raise HarmonizeError(f"A worker could not start: {reason}", hint) from error
        lost = HarmonizeError(
            f"{job.inputs[0]} could not be harmonized: its worker died in all of {RETRIES + 1} attempts.",
            "Memory may be too low: try the picture alone with gknet harmonize.",
        )
        return replace(Outcome.from_error(job, lost), traceback=str(error))
