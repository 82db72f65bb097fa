"""What users' way of harmonizing makes of composites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from gknet.harmonizer import Harmonizer
from training.data.sample import Sample
from training.evaluation.metrics import Record, make_record


class Case(NamedTuple):
    """One composite with what became of it.   harmonized: (H, W, 3) uint8."""

    record: Record
    sample: Sample
    harmonized: np.ndarray

    @property
    def change(self) -> float:
        """How much fMSE grew, 8-bit levels squared; below 0 where the composite was improved."""
        return self.record.after.fmse - self.record.before.fmse


def evaluate_samples(harmonizer: Harmonizer, samples: Iterable[Sample]) -> list[Record]:
    """What became of every sample, in their order."""
    return [case.record for case in harmonize_samples(harmonizer, samples)]


def harmonize_samples(harmonizer: Harmonizer, samples: Iterable[Sample]) -> Iterator[Case]:
    """The same with the pictures, one at a time."""
    for sample in samples:
        harmonized = harmonizer(sample.composite, sample.mask)
        yield Case(make_record(sample, harmonized), sample, harmonized)
