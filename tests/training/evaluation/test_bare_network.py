"""The network alone gives about what the pipeline gives, and each of its parts can be switched off to be judged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gknet import GKNet, preset
from gknet.harmonizer import Harmonizer
from gknet.network import weights
from tests.training.calling import call_command
from training import improve
from training.data.judging_sets.validation import make_validation_samples, open_pool
from training.data.sample import MASK_SHARE, SIZE, Sample
from training.data.shards import Photographs, find_shards, read_photographs
from training.evaluation import bare_network
from training.evaluation.bare_network import BareNetwork, judge_samples
from training.evaluation.cases import evaluate_samples
from training.research import parts
from training.research.parts import CUTS, disable_modulation, disable_reference, disable_selection

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def samples(small_pool: Path) -> list[Sample]:
    photographs = read_photographs(find_shards([small_pool]), SIZE, validation=True, mask_share=MASK_SHARE)
    return list(islice(make_validation_samples(photographs), 2))


@pytest.fixture(scope="module")
def shipped() -> GKNet:
    return weights.load(weights.find_shipped("gknet-s"))


def test_the_network_alone_scores_as_the_pipeline_does(small_pool: Path, shipped: GKNet) -> None:
    size = shipped.config.network_size
    photographs = read_photographs(find_shards([small_pool]), size, validation=True, mask_share=MASK_SHARE)
    large = list(islice(make_validation_samples(photographs), 2))  # as large as they are shown
    bare, piped = judge_samples(BareNetwork(shipped), large), evaluate_samples(Harmonizer(shipped, "cpu"), large)
    assert [record.key for record in bare] == [record.key for record in piped]
    alone = np.mean([record.after.fmse for record in bare])
    assert alone == pytest.approx(np.mean([record.after.fmse for record in piped]), rel=0.05)


def test_small_pictures_score_about_as_in_the_pipeline(shipped: GKNet) -> None:
    samples = list(islice(make_validation_samples(reduced_photographs()), 0, None, 7))
    bare, piped = judge_samples(BareNetwork(shipped), samples), evaluate_samples(Harmonizer(shipped, "cpu"), samples)
    before, alone, whole = (
        np.array([getattr(record, when).fmse for record in records])
        for when, records in (("before", bare), ("after", bare), ("after", piped))
    )
    assert alone.mean() < 0.6 * before.mean()
    assert alone.mean() == pytest.approx(whole.mean(), rel=0.05)
    assert np.corrcoef(alone, whole)[0, 1] > 0.98


def reduced_photographs() -> Photographs:
    """Four, as sharp as pictures of this size are: of enlarged ones both see a little different things."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    whole = [Image.fromarray(getattr(skimage.data, name)()) for name in names]
    pictures = [np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)) for picture in whole]
    rows, columns = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE - 0.5
    mask = np.where(np.hypot(rows / 0.27, columns / 0.23) < 1, 255, 0).astype(np.uint8)
    return Photographs(
        pictures=np.stack(pictures).transpose(0, 3, 1, 2),
        masks=np.stack([mask] * len(names)),
        owner=np.arange(len(names)),
        keys=list(names),
    )


@pytest.mark.parametrize("cut", [name for name, cut in CUTS.items() if cut])
def test_every_part_of_the_shipped_weights_matters_to_the_picture(
    cut: str, samples: list[Sample], quick_weights: Path
) -> None:
    net = weights.load(quick_weights)
    whole = BareNetwork(net)(samples[0].composite, samples[0].mask).astype(int)
    switch_off = CUTS[cut]
    assert switch_off
    switch_off(net, samples)
    assert np.abs(BareNetwork(net)(samples[0].composite, samples[0].mask) - whole).max() > 0


@pytest.mark.parametrize("residual", [True, False])
def test_without_modulation_the_decoder_is_the_baselines(residual: bool, samples: list[Sample]) -> None:
    config = replace(preset("gknet-s"), global_head=False, recognition=False, residual_modulation=residual)
    torch.manual_seed(0)
    net = GKNet(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    composite = torch.from_numpy(samples[0].composite).permute(2, 0, 1)[None].float() / 255
    mask = torch.from_numpy(samples[0].mask)[None, None].float()
    disable_modulation(net, samples)
    with torch.no_grad():
        cut = net(composite, mask)
        net.kernels = None
        assert torch.allclose(net(composite, mask), cut, atol=1e-5)


def test_without_selection_every_picture_gets_the_same_channel_weights(
    samples: list[Sample], shipped: GKNet, quick_weights: Path
) -> None:
    net = weights.load(quick_weights)
    disable_selection(net, samples)
    disable_reference(net, samples)
    assert net.kernels is not None
    block = net.kernels.blocks[0].fuse
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 128, 8, 8, generator=generator)
    means = block.compute_channel_weights(features, features)
    assert all(mean.shape == (1, 128) for mean in means)
    assert not torch.allclose(shipped.kernels.blocks[0].fuse.compute_channel_weights(features, features)[0], means[0])  # type: ignore[union-attr,operator]


@pytest.mark.usefixtures("two_kinds")
@pytest.mark.slow
def test_the_commands_print_a_row_for_everything_judged(small_pool: Path, quick_weights: Path) -> None:
    given = ["--pool", small_pool, "--weights", quick_weights]
    done = call_command(bare_network.main, *given, "--device", "cpu")
    assert done.code == 0
    assert re.search(r"^all +\d+ composites  fMSE +[\d.]+ -> +[\d.]+ \([-+][\d.]+ %\)", done.out, re.MULTILINE)
    done = call_command(parts.main, *given, "--every", "2", "--beside", quick_weights)
    assert done.code == 0
    for name in (*CUTS, quick_weights.name):
        assert name in done.out


@pytest.mark.parametrize("option", ["--around", "--beyond"])
def test_pixels_around_the_foreground_cannot_be_less_than_none(option: str) -> None:
    given = ["--pool", "nowhere", "--weights", "none.safetensors", option, "-1"]
    done = call_command(bare_network.main, *given)
    assert done.code == 2
    assert "--around and --beyond must be at least 0" in done.err


def open_beginning(folder: Path, *, beyond: int) -> tuple[int, Iterator[Sample]]:
    """A pool's first composite."""
    return 1, islice(open_pool(folder, beyond=beyond)[1], 1)


def test_only_better_weights_take_the_shipped_ones_place(
    small_pool: Path, tmp_path: Path, quick_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be written")

    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    shutil.copy(quick_weights, good)
    net = weights.load(good)
    with torch.no_grad():
        assert net.head.bias is not None
        net.head.bias.fill_(9.0)
    weights.save(net, bad)
    kept = good.read_bytes()
    monkeypatch.setattr(improve, "open_pool", open_beginning)
    with monkeypatch.context() as patched:
        patched.setattr(weights, "save", refuse)
        assert not improve.replace_if_better(bad, good, small_pool)
    assert improve.replace_if_better(good, bad, small_pool)
    assert good.read_bytes() == kept == bad.read_bytes()
