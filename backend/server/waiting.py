"""The requests that wait for the worker, in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from backend.server.worker import Job
from backend.thin import protocol
from backend.thin.protocol import BackendError

MAX_WAITING_BYTES = 4 * 2**30
"""Of the pixels of all requests that wait."""


class Waiting:
    """A bounded queue of jobs. Everything takes a time that grows with its bound at most."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Over those that wait now; dropping some meanwhile does no harm."""
        return iter(tuple(self._jobs))

    def add(self, job: Job) -> None:
        """Puts a job last. Raises BackendError (`busy`) if too many, or too large ones, wait."""
        held = sum(one.request.size for one in self._jobs)
        if len(self._jobs) >= protocol.MAX_QUEUE or (self._jobs and held + job.request.size > MAX_WAITING_BYTES):
            raise BackendError(
                protocol.BUSY, f"{len(self._jobs)} requests are waiting already.", "Try again in a moment."
            )
        self._jobs.append(job)

    def next(self) -> Job | None:
        """Takes the first job out, None if there is none."""
        return self._jobs.popleft() if self._jobs else None

    def remove(self, peer: bytes, request_id: int) -> Job | None:
        """Takes one request of a client out, None if it does not wait."""
        for job in self._jobs:
            if (job.peer, job.request.id) == (peer, request_id):
                self._jobs.remove(job)
                return job
        return None

    def drop(self, peer: bytes) -> int:
        """Takes all requests of a client out and says how many they were."""
        before = len(self._jobs)
        self._jobs = deque(job for job in self._jobs if job.peer != peer)
        return before - len(self._jobs)

    def clear(self) -> list[Job]:
        """Takes everything out."""
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs
