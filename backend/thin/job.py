"""Requests to the backend on threads, for hosts whose interface must not block."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from .client import READY, STARTING, ThinClient
from .protocol import CANCELLED, INTERNAL, ThinError

_STAGES = ("wait", "load", "reduce", "network", "apply")


class Backend:
    """A host's connection to the backend. Use it on the host's interface thread, which it never blocks.

    host: its name and version, for the backend's log.
    """

    def __init__(self, host: tuple[str, str]) -> None:
        self.host = host
        self._client: ThinClient | None = None
        self._turn = threading.Lock()
        self._job: Job | None = None

    def harmonize(self, **request: Any) -> Job:
        """Return a job that calls `ThinClient.harmonize` with these arguments: layer, layer_bytes, reference, ...

        Jobs run one at a time, in any order: cancel the ones that nobody needs any more.
        """
        return Job(self, request)

    def close(self) -> None:
        """Close the connection once cancelled jobs have ended. The backend keeps running."""
        threading.Thread(target=self._close, name="gknet-close", daemon=True).start()

    def _close(self) -> None:
        with self._turn:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _ask(self, job: Job, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytearray]:
        while not self._turn.acquire(timeout=0.05):
            if job.is_cancelled:
                raise ThinError(CANCELLED, "Cancelled.")
        try:
            self._job = job
            if self._client is None:
                self._client = ThinClient.connect(
                    client=self.host, on_state=self._report_state, is_cancelled=lambda: job.is_cancelled
                )
            return self._client.harmonize(
                **request, on_progress=job.report_progress, is_cancelled=lambda: job.is_cancelled
            )
        finally:
            self._job = None
            self._turn.release()

    def _report_state(self, state: str) -> None:
        if self._job is not None:
            self._job.report_state(state)


class Job:
    """A running request. Its attributes may be read from any thread.

    text: its state as a sentence for the user.   fraction: its progress 0..1, None if unknown.
    is_cancelled: whether `cancel` was called.   is_done: whether it has ended, successfully or not.
    """

    def __init__(self, backend: Backend, request: Mapping[str, Any]) -> None:
        self.text = "Asking the backend…"
        self.fraction: float | None = None
        self.is_cancelled = False
        self._answer: tuple[dict[str, Any], bytearray] | None = None
        self._error: ThinError | None = None
        self._thread = threading.Thread(target=self._run, args=(backend, request), name="gknet-job", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Cancel the request; `is_done` follows a moment later. Its answer is discarded."""
        self.is_cancelled = True

    def wait(self, timeout_s: float) -> bool:
        """Wait until the job is done or the timeout has passed. Return whether it is done."""
        self._thread.join(timeout_s)
        return self.is_done

    def get_answer(self) -> tuple[dict[str, Any], bytearray]:
        """Return the backend's `result` and the pixels of a job that is done.

        Raise ThinError: `cancelled`, and the errors of `ThinClient.connect` and `ThinClient.harmonize`.
        """
        if self.is_cancelled:
            raise ThinError(CANCELLED, "Cancelled.")
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise ThinError(INTERNAL, "The job is not done.")
        return self._answer

    def report_state(self, state: str) -> None:
        """Update the text from the state of the backend's start."""
        if state in (STARTING, READY):
            self.text = "Starting the backend…" if state == STARTING else "Sending…"
            self.fraction = None

    def report_progress(self, stage: str, done: int, total: int, text: str) -> None:
        """Update text and fraction from a stage. All stages count equally, except waiting and loading."""
        if text:
            self.text = text
        self.fraction = None
        if stage in _STAGES[2:] and total > 0:
            step = _STAGES.index(stage) - 2
            self.fraction = (step + min(max(done / total, 0.0), 1.0)) / 3

    def _run(self, backend: Backend, request: Mapping[str, Any]) -> None:
        try:
            self._answer = backend._ask(self, request)
        except ThinError as error:
            self._error = error
        except Exception as error:  # a bug: the host must show it and not wait forever
            self._error = ThinError(INTERNAL, f"{type(error).__name__}: {error}", "Please report this.")
