"""Runs jobs from their input files to an output file, on many threads at once, with one network for all of them."""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import torch

from gknet import edges
from gknet.arguments import check_options, check_variant
from gknet.batch.job import Job, Outcome, Settings, Stamp
from gknet.batch.journal import sync_file
from gknet.errors import CancelledError, HarmonizeError
from gknet.files.picture import file_error
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from gknet.network.device import choose_device
from gknet.transfer.cores import limit_threads
from gknet.transfer.trims import Trims

MOST_BYTES = 1 << 30
"""Limit of source pixels processed at once. Masks, results and pictures being read come on top."""


class Workbench:
    """A network, shared in an orderly way by many threads.

    Each thread does a whole job. Up to `slots` of them compute, on one core each, while others read and write.
    One core per picture: two pictures side by side take less time than one after the other on both cores
    (`tests/benchmarks/batch.py`), and the result does not depend on the number of cores.
    """

    def __init__(
        self, settings: Settings, device: str, unfinished: Path, stop: threading.Event, slots: int | None = None
    ) -> None:
        """Load the network.

        unfinished: folder for the results.   stop: once set, no job starts, and running ones end within moments.
        slots: by default one per core, or two on a GPU.
        Raises WeightsError or InputError for an unknown model or an unavailable device.
        """
        self.harmonizer = Harmonizer.from_pretrained(settings.model, device)
        self.slots = slots or (torch.get_num_threads() if self.harmonizer.device.type == "cpu" else 2)
        self._settings = settings
        self._unfinished = unfinished
        self._computing = threading.Semaphore(self.slots)
        self._reading = threading.Semaphore(self.slots)
        self._room = _Room(MOST_BYTES)
        self._stopped = stop
        self._thread = threading.local()

    @property
    def threads(self) -> int:
        """Number of threads that can usefully work here at once."""
        return 2 * self.slots

    def harmonize_job(self, job: Job) -> Outcome:
        """Do a job and return its outcome; the result is left in the folder for unfinished results.

        Any error that a single picture can cause fails only this picture.
        """
        if self._stopped.is_set():
            return Outcome(job=job, state="not reached")
        clock = _Clock()
        try:
            if job.trouble is not None:
                raise job.trouble
            return self._harmonize(job, clock)
        except CancelledError:
            return Outcome(job=job, state="not reached")
        except HarmonizeError as error:
            return Outcome.from_error(job, error, clock.seconds)
        except Exception as error:
            return Outcome(
                job=job,
                state="failed",
                seconds=clock.seconds,
                message=f"{job.inputs[0]} could not be harmonized: {type(error).__name__}: {error}.",
                hint="Try it alone with gknet harmonize; the traceback is in the report.",
                traceback=traceback.format_exc(),
            )

    def _harmonize(self, job: Job, clock: _Clock) -> Outcome:
        if not hasattr(self._thread, "is_alone"):
            limit_threads()
            self._thread.is_alone = True
        settings = self._settings
        target = self._unfinished / f"{secrets.token_hex(8)}{PurePosixPath(job.output).suffix}"
        inputs = tuple(Stamp.of(path) for path in job.inputs)
        with self._reading:
            with clock:
                scene = job.read_scene(settings.layer, self._step)
                with _name_output(target, job):
                    scene.check_writable(target)
            size = scene.before.nbytes
            self._room.enter(size)
        try:
            with self._computing, clock:
                self._step("clean", 0, 1)
                if settings.clean_edges:
                    scene.clean_edges()  # type: ignore[attr-defined]
                fit = scene.fit(self.harmonizer, settings.network_size)
                after = fit.apply(settings.strength, settings.variant, settings.trims)
            with clock, _name_output(target, job):
                scene.write(target, after)
                _sync_result(target)
        finally:
            self._room.leave(size)
        return Outcome(
            job=job,
            state="written",
            unfinished=target,
            written=Stamp.of(target),
            inputs=inputs,
            seconds=clock.seconds,
            notes=tuple(scene.notes),
        )

    def _step(self, stage: str, done: int, total: int) -> None:
        del stage, done, total
        if self._stopped.is_set():
            raise CancelledError("The batch was stopped.")


@contextmanager
def _name_output(target: Path, job: Job) -> Iterator[None]:
    """Name the output in an error's message instead of the file for its unfinished result."""
    try:
        yield
    except HarmonizeError as error:
        raise type(error)(error.message.replace(str(target), job.output), error.hint) from error


def _sync_result(target: Path) -> None:
    """Sync the result to disk here, not when it is published, so that a thread waits while others compute."""
    try:
        sync_file(target)
    except OSError as error:
        raise file_error(target, "written", error) from error


class _Clock:
    """Adds up the seconds inside its `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._began


class _Room:
    """Limits the bytes in use at a time; a larger picture is admitted only alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size

    def leave(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify_all()


def make_settings(
    *,
    model: str,
    strength: float,
    variant: int,
    trims: Trims,
    network_size: int | None,
    clean_edges: bool,
    layer: str | None,
    device: str,
) -> Settings:
    """Return the settings, with the digest of the weights as they are now.

    Raises WeightsError or InputError for invalid or unavailable choices, MissingPackageError if PyMatting is missing.
    """
    check_options(strength, network_size)
    check_variant(variant)
    choose_device(device)
    if clean_edges:
        edges.check_available()
    return Settings(
        model=model,
        weights=weights.compute_digest(weights.find(model)),
        strength=strength,
        variant=variant,
        trims=trims,
        network_size=network_size,
        clean_edges=clean_edges,
        layer=layer,
    )
