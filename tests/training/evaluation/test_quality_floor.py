"""Broken or worse weights don't pass: the shipped ones on 24 composites of free photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gknet import Harmonizer
from tests import free_pool
from training.data.judging_sets.validation import make_validation_samples, read_validation
from training.evaluation.cases import evaluate_samples

SHARE = 0.217
"""Of the untouched composites' fMSE that the weights left when this was written."""
GAIN_DB = 5.45
MARGIN = 0.05
"""Relative: processors and versions of torch round differently, but by far less than this."""


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_shipped_weights_keep_their_quality(tmp_path: Path) -> None:
    free_pool.write(tmp_path)
    samples = list(make_validation_samples(read_validation(tmp_path)))[::2]
    assert len(samples) == 24
    records = evaluate_samples(Harmonizer.from_pretrained(device="cpu"), samples)
    share = sum(record.after.fmse for record in records) / sum(record.before.fmse for record in records)
    gain = float(np.mean([record.after.psnr - record.before.psnr for record in records]))
    assert share <= SHARE * (1 + MARGIN)
    assert gain >= GAIN_DB * (1 - MARGIN)
