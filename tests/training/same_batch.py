"""A stream of one batch: learning shows in a few steps on it, where fresh composites would need hundreds."""

from __future__ import annotations

from training.engine.batch import Batch


class SameBatch:
    """The same batch again and again."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def draw_batch(self) -> Batch:
        return self.batch
