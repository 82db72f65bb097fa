"""Four sets to judge by: always the same composites, whose halves have nothing in common."""

from __future__ import annotations

import math
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gknet.errors import PictureError
from tests.training.calling import call_command
from training.data.judging_sets.other_code import TRANSFERS, compress_as_jpeg, make_other_code_samples
from training.data.judging_sets.real_light import CAMERAS, HOURS, make_real_light_samples
from training.data.judging_sets.rerendered import STRENGTHS, make_rerendered_samples
from training.data.judging_sets.validation import Half, find_half, make_validation_samples
from training.data.sample import SIZE, Sample
from training.data.shards import Photographs, is_validation
from training.evaluation import four_sets
from training.evaluation.four_sets import summarize
from training.evaluation.metrics import Record, Scores

HALVES: tuple[Half, ...] = ("choosing", "final")


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    """Four smooth pictures with a square object, two of each half."""
    draws = np.random.default_rng(0)
    names = (f"free_{number}" for number in range(10_000))
    wanted = dict.fromkeys(HALVES, 2)
    keys = []
    for name in names:
        if wanted[find_half(name)]:
            wanted[find_half(name)] -= 1
            keys.append(name)
    small = torch.from_numpy(draws.uniform(0, 255, (4, 3, 5, 5)))
    pictures = F.interpolate(small, (48, 48), mode="bicubic").clamp(0, 255).byte().numpy()
    masks = np.zeros((4, 48, 48), np.uint8)
    masks[:, 8:40, 12:36] = 255
    return Photographs(pictures=pictures, masks=masks, owner=np.arange(4), keys=keys)


def test_halves_are_about_equal_and_no_part_of_the_split() -> None:
    keys = [f"key_{number}" for number in range(4000)]
    final = [find_half(key) == "final" for key in keys]
    assert 0.46 < np.mean(final) < 0.54
    held_out = [find_half(key) == "final" for key in keys if is_validation(key)]
    assert 0.3 < np.mean(held_out) < 0.7


SAMPLES: dict[str, Callable[[Photographs, Half], Iterator[Sample]]] = {
    "own": lambda photographs, half: make_validation_samples(photographs, half=half),
    "other code": make_other_code_samples,
    "re-rendered": make_rerendered_samples,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_sets_are_always_the_same_and_halves_share_no_photograph(name: str, photographs: Photographs) -> None:
    found = {half: list(SAMPLES[name](photographs, half)) for half in HALVES}
    keys = {half: {sample.key for sample in samples} for half, samples in found.items()}
    assert keys["choosing"] | keys["final"] == set(photographs.keys)
    assert not keys["choosing"] & keys["final"]
    for again, before in zip(SAMPLES[name](photographs, "choosing"), found["choosing"], strict=True):
        assert np.array_equal(again.composite, before.composite)
    for sample in found["final"]:
        fmse = np.square(sample.composite[sample.mask].astype(float) - sample.real[sample.mask]).mean()
        assert 50 < fmse < 8001


def test_other_code_changes_only_the_object_but_for_jpeg(photographs: Photographs) -> None:
    samples = list(make_other_code_samples(photographs, "choosing"))
    assert {sample.kind for sample in samples} == set(TRANSFERS)
    for sample in samples:
        inside = np.zeros_like(sample.mask)
        inside[0:48, 4:44] = True  # JPEG's blocks reach beyond the mask
        apart = np.abs(sample.composite.astype(int) - sample.real)
        assert apart[~inside].mean() < 6
        assert apart[sample.mask].mean() > apart[~inside].mean()


@pytest.mark.parametrize("name", TRANSFERS)
def test_transfers_of_the_libraries_bring_the_mean_near_the_references(name: str) -> None:
    draws = np.random.default_rng(1)
    colours = draws.uniform(0.1, 0.5, (400, 3)) ** [1, 1.5, 2]
    reference = draws.uniform(0.4, 0.9, (700, 3)) ** [2, 1, 1.5]
    kept = colours.copy(), reference.copy()
    changed = TRANSFERS[name](colours, reference)
    assert np.abs(changed.mean(axis=0) - reference.mean(axis=0)).max() < 0.05
    assert changed.std(axis=0).min() > 0.03
    assert np.array_equal(colours, kept[0])
    assert np.array_equal(reference, kept[1])


def test_a_better_jpeg_is_nearer_to_the_picture(photographs: Photographs) -> None:
    picture = np.ascontiguousarray(photographs.pictures[0].transpose(1, 2, 0))
    apart = [np.abs(compress_as_jpeg(picture, quality).astype(int) - picture).mean() for quality in (85, 95)]
    assert apart[0] > apart[1] > 0


def test_rerendered_truths_are_other_renderings_and_stronger_ones_are_further_away(photographs: Photographs) -> None:
    moved: dict[str, list[float]] = {f"{strength}": [] for strength in STRENGTHS}
    for half in HALVES:
        for sample in make_rerendered_samples(photographs, half):
            picture = photographs.pictures[photographs.keys.index(sample.key)].transpose(1, 2, 0)
            moved[sample.kind].append(float(np.abs(sample.real.astype(int) - picture).mean()))
            assert np.array_equal(sample.composite[~sample.mask], sample.real[~sample.mask])
    means = [np.mean(values) for values in moved.values()]
    assert means[0] > 3
    assert means[0] < means[2]


def test_real_light_shows_each_object_as_other_hours_did(light: Path) -> None:
    found = list(make_real_light_samples(light, "choosing"))
    assert len(found) == len(CAMERAS["choosing"]) * 5 * HOURS
    assert {sample.kind for sample in found} == {f"{camera}.tower" for camera in CAMERAS["choosing"]}
    for sample in found:
        assert sample.composite.shape == (SIZE, SIZE, 3)
        assert np.ptp(sample.composite[sample.mask].astype(int)) < 4
        assert np.array_equal(sample.composite[~sample.mask], sample.real[~sample.mask])
        assert abs(int(sample.composite[sample.mask].mean()) - int(sample.real[sample.mask].mean())) > 30
    assert {sample.key.partition("_")[0] for sample in make_real_light_samples(light, "final")} == set(CAMERAS["final"])


def test_a_missing_camera_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "light-000.tar", "w"):
        pass
    with pytest.raises(PictureError, match=CAMERAS["choosing"][0]):
        list(make_real_light_samples(tmp_path, "choosing"))


def record(key: str, before: float, after: float, gain: float) -> Record:
    return Record(key, "kind", 0.2, Scores(0, 30, before), Scores(0, 30 + gain, after))


def test_a_summary_of_known_records() -> None:
    records = [record("a", 100, 50, 3), record("a", 100, 50, 3), record("b", 200, 200, -1), record("c", 100, 20, -4)]
    found = summarize(records)
    assert found.number == 4
    assert found.share == pytest.approx(320 / 500)
    assert found.gain == pytest.approx(0.25)
    assert found.tail == 1  # the one picture that was not improved
    assert (found.worse, found.badly) == (0.5, 0.25)


def test_composites_of_one_photograph_count_as_one() -> None:
    draws = np.random.default_rng(0)
    gains = draws.normal(size=200)
    apart = summarize([record(f"{number}", 100, 50 + gain, gain) for number, gain in enumerate(gains)])
    copies = summarize([record(f"{number}", 100, 50 + gain, gain) for number, gain in enumerate(gains) for _ in "xyz"])
    assert apart.gain_error == pytest.approx(gains.std(ddof=1) / math.sqrt(200), rel=0.01)
    assert copies.gain_error == pytest.approx(apart.gain_error)
    assert copies.share_error == pytest.approx(apart.share_error)
    assert math.isnan(summarize([record("a", 100, 50, 1)]).gain_error)


@pytest.mark.slow
def test_the_command_prints_all_four_sets_by_their_choosing_halves(
    pool: Path, light: Path, quick_weights: Path
) -> None:
    given = ["--light", light, "--weights", quick_weights, "--every", "4"]
    done = call_command(four_sets.main, "--pool", pool, *given)
    assert done.code == 0, done.err
    assert "choosing halves" in done.out
    for name in ("own", "other code", "re-rendered", "real light", "chamonix.tower"):
        assert name in done.out
    assert "courbevoie" not in done.out
    done = call_command(four_sets.main, "--pool", "nowhere", *given)
    assert done.code == 2
    assert done.err.count("\n") == 1
