"""Harmonize samples through the same pipeline as users' pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from gknet.harmonizer import Harmonizer
from training.data.sample import Sample
from training.evaluation.metrics import Record, make_record


class Case(NamedTuple):
    """A sample and its result. harmonized: (H, W, 3) uint8."""

    record: Record
    sample: Sample
    harmonized: np.ndarray

    @property
    def change(self) -> float:
        """Change of fMSE in squared 8-bit levels; negative if the composite was improved."""
        return self.record.after.fmse - self.record.before.fmse


def evaluate_samples(harmonizer: Harmonizer, samples: Iterable[Sample]) -> list[Record]:
    """Harmonize every sample and return the records in order."""
    return [case.record for case in harmonize_samples(harmonizer, samples)]


def harmonize_samples(harmonizer: Harmonizer, samples: Iterable[Sample]) -> Iterator[Case]:
    """Harmonize every sample and yield the cases, one at a time."""
    for sample in samples:
        harmonized = harmonizer(sample.composite, sample.mask)
        yield Case(make_record(sample, harmonized), sample, harmonized)
