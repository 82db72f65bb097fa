"""The same work spread over a Ray cluster: one network an actor, each on a core or a GPU of its own.

Plain actors, not Ray Data's map_batches: a job is a pair of file names, there are no rows to move. Ray Data would bring
pyarrow and pandas, take jobs in blocks, of which a dead worker loses all, and tell of a block only when it is done.
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
"""Jobs of an actor: while one computes, the other is read or written."""
RETRIES = 2
"""How often a job is begun again after the actor that had it died."""
_LOOK_S = 0.2


def check_available() -> None:
    """Raises MissingPackageError if Ray is not installed."""
    if find_spec("ray") is None:
        raise MissingPackageError("--ray needs the package ray.", "ray")


class Worker:
    """What an actor is: a workbench of one slot."""

    def __init__(self, settings: Settings, device: str, unfinished: Path) -> None:
        from gknet.batch.workbench import Workbench
        from gknet.network import weights

        if weights.compute_digest(weights.find(settings.model)) != settings.weights:
            raise WeightsError("A machine of the cluster has other weights.", "Install the same version everywhere.")
        self._bench = Workbench(settings, device, unfinished, threading.Event(), slots=1)

    def harmonize_job(self, job: Job) -> Outcome:
        """As Workbench."""
        return self._bench.harmonize_job(job)


def run_on_ray(
    jobs: list[Job], settings: Settings, device: str, unfinished: Path, stop: threading.Event
) -> Iterator[Outcome]:
    """Does jobs on the cluster that RAY_ADDRESS names, or on this machine. All of it has to see the files.

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
    """The job with absolute names: actors work in folders of their own."""
    names = ("composite", "mask", "foreground", "background")
    given = {name: path.absolute() for name in names if (path := getattr(job, name)) is not None}
    return replace(job, **given)


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
    """One for every GPU or core of the cluster, but no more than there is work for, all of them ready."""
    import ray

    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(there.get("GPU", 0)) if device != "cpu" else 0
    count = max(1, min(most, gpus or int(there.get("CPU", 1))))
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
            f"{job.inputs[0]} could not be harmonized: its worker ended, at the last of {RETRIES + 1} attempts.",
            "It may lack memory: try the picture alone with gknet harmonize.",
        )
        return replace(Outcome.from_error(job, lost), traceback=str(error))
