"""Prefetch batches while the network trains, so that a GPU needn't wait for them."""

from __future__ import annotations

import queue
import threading
from contextlib import nullcontext

import torch
from torch import Tensor

from training.engine.batch import Batch, Stream

_QUEUE_LENGTH = 3
"""Number of batches kept ready."""
_PATIENCE = 0.2
"""Seconds between checks whether the thread should stop."""


class Prefetcher:
    """A prefetcher for a stream's batches, in order, in a thread and, on a GPU, its own CUDA stream.

    The stream's draws run ahead of the training, so a resumed run doesn't repeat them exactly. Close it or use it in a
    `with` statement. `draw_batch` raises any exception that occurred in the thread, each time it is called afterwards.
    """

    def __init__(self, stream: Stream, device: torch.device) -> None:
        self.stream = stream
        self.side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.ready: queue.Queue[tuple[Batch, torch.cuda.Event | None] | Exception] = queue.Queue(_QUEUE_LENGTH)
        self.failure: Exception | None = None
        self.stop_event = threading.Event()
        self.thread = threading.Thread(target=self._make, daemon=True)
        self.thread.start()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the thread."""
        self.stop_event.set()
        self.thread.join()

    def draw_batch(self) -> Batch:
        """Return the next batch, as `Stream.draw_batch` does. Raises RuntimeError after `close`."""
        # The thread has ended in both cases: nothing more would arrive.
        if self.failure is not None:
            raise self.failure
        if self.stop_event.is_set():
            raise RuntimeError("The prefetcher is closed.")
        made = self.ready.get()
        if isinstance(made, Exception):
            self.failure = made
            raise made
        batch, ready = made
        if ready is not None:
            here = torch.cuda.current_stream(batch.composite.device)
            here.wait_event(ready)
            for part in _tensors(batch):  # or its memory could be reused while it is still needed here
                part.record_stream(here)
        return batch

    def _make(self) -> None:
        while not self.stop_event.is_set():
            try:
                with torch.cuda.stream(self.side) if self.side else nullcontext():
                    batch = self.stream.draw_batch()
                self._put((batch, self.side.record_event() if self.side else None))
            except Exception as error:  # re-raised by draw_batch
                self._put(error)
                return

    def _put(self, made: tuple[Batch, torch.cuda.Event | None] | Exception) -> None:
        while not self.stop_event.is_set():
            try:
                self.ready.put(made, timeout=_PATIENCE)
                return
            except queue.Full:
                continue


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.composite, batch.real, batch.mask, *(batch.recognized or ())]
