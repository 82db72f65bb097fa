"""Batches made while the network learns from those before: a GPU would otherwise wait at every draw."""

from __future__ import annotations

import queue
import threading
from contextlib import nullcontext

import torch
from torch import Tensor

from training.engine.batch import Batch, Stream

_WAITING = 3
"""Batches that are kept ready."""
_PATIENCE = 0.2
"""Seconds after which the thread looks whether it should end."""


class Prefetcher:
    """A stream's batches in their order, made in a thread and, on a GPU, in a CUDA stream of their own.

    What the stream draws runs ahead of what was learnt, so a run that is resumed does not go on with the same draws.
    To be closed, or used with `with`. `batch` raises what making it raised.
    """

    def __init__(self, stream: Stream, device: torch.device) -> None:
        self.stream = stream
        self.side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.made: queue.Queue[tuple[Batch, torch.cuda.Event | None] | Exception] = queue.Queue(_WAITING)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._make, daemon=True)
        self.thread.start()

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the thread."""
        self.ended.set()
        self.thread.join()

    def batch(self) -> Batch:
        """The next batch, as `Stream.batch`."""
        made = self.made.get()
        if isinstance(made, Exception):
            raise made
        batch, ready = made
        if ready is not None:
            here = torch.cuda.current_stream(batch.composite.device)
            here.wait_event(ready)
            for part in _tensors(batch):  # or its memory would be given away while it is still used here
                part.record_stream(here)
        return batch

    def _make(self) -> None:
        while not self.ended.is_set():
            try:
                with torch.cuda.stream(self.side) if self.side else nullcontext():
                    batch = self.stream.batch()
                self._put((batch, self.side.record_event() if self.side else None))
            except Exception as error:  # whatever it is, it is raised where the batch is asked for
                self._put(error)
                return

    def _put(self, made: tuple[Batch, torch.cuda.Event | None] | Exception) -> None:
        while not self.ended.is_set():
            try:
                self.made.put(made, timeout=_PATIENCE)
                return
            except queue.Full:
                continue


def _tensors(batch: Batch) -> list[Tensor]:
    return [batch.composite, batch.real, batch.mask, *(batch.recognized or ())]
