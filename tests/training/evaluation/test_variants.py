"""Variants are judged by the pictures that a user would choose from."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

from gknet.harmonizer import Harmonizer
from gknet.network import weights
from training.data.sample import Sample
from training.evaluation.variants import Choice, build_table, choose, make_harmonizers

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def harmonizers() -> tuple[Harmonizer, Harmonizer]:
    return make_harmonizers(weights.find_shipped("gknet-s"))


@pytest.fixture(scope="module")
def sample() -> Sample:
    real = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((256, 256)))
    mask = np.zeros((256, 256), bool)
    mask[60:200, 50:180] = True
    composite = np.where(mask[..., None], (real * 0.5).astype(np.uint8), real)
    return Sample("key", "kind", composite, real, mask)


def test_the_best_answer_is_better_than_the_first(sample: Sample, harmonizers: tuple[Harmonizer, Harmonizer]) -> None:
    choice = choose(sample, *harmonizers)
    assert choice.best < 0.8 * choice.first
    assert choice.first < choice.before
    assert 2 <= choice.offered <= 5
    assert choice.apart > 5
    assert choice.clipped <= 0.02
    own = harmonizers[0](sample.composite, sample.mask)[sample.mask].astype(float)
    assert choice.first == pytest.approx(np.square(own - sample.real[sample.mask]).mean(), rel=0.05)


def test_shares_are_of_the_untouched_composites() -> None:
    one = Choice(
        before=100,
        first=50,
        likeliest=60,
        best=10,
        fixed=20,
        offered=5,
        chosen=2,
        guessed=2,
        apart=9.5,
        clipped=0.01,
    )
    (row,) = build_table({"own": [one, replace_errors(one, 300)]}, "title").sections[0]
    assert row[:3] == ["own", "2", "0.250"]
    assert row[4] == "0.050"
    assert row[6:] == ["0.100", "100 %", "5.00", "9.5", "1.0 %"]


def replace_errors(choice: Choice, before: float) -> Choice:
    return choice._replace(before=before)
