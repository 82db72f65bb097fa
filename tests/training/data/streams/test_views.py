"""What is recognized in views of photographs is kept, is what the network would see itself, and can be learnt from."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gknet.network import weights
from tests.training.calling import call_command
from tests.training.same_batch import SameBatch
from training import train
from training.data.shards import Photographs, find_shards, read_photographs
from training.data.streams.views import PHOTOGRAPH_SIZE, Views, ViewStream, load_views
from training.engine.parallel import Parallel
from training.engine.run import TrainingRun
from training.engine.training import Training

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]
ROOT = Path(__file__).parents[4]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RUN = TrainingRun(
    preset="gknet-s",
    only="recognition_head",
    size=112,
    batch=8,
    views=2,
    learning_rate=1e-3,
    loss="foreground_rmse",
    seed=3,
)


@pytest.fixture(scope="module")
def photographs(pool: Path) -> Photographs:
    return read_photographs(find_shards([pool]), PHOTOGRAPH_SIZE, validation=False)


@pytest.fixture(scope="module")
def few(small_pool: Path) -> Photographs:
    return read_photographs(find_shards([small_pool]), PHOTOGRAPH_SIZE, validation=False)


@pytest.fixture(scope="module")
def views(photographs: Photographs, tmp_path_factory: pytest.TempPathFactory) -> Views:
    return load_views(photographs, RUN, tmp_path_factory.mktemp("views"), Parallel())


def test_every_photograph_has_views_that_show_most_of_an_object(photographs: Photographs, views: Views) -> None:
    assert views.keys == photographs.keys * 2
    assert views.pictures.shape == (24, 3, RUN.size, RUN.size)
    shares = views.masks.mean(axis=(1, 2)) / 255
    assert shares.min() >= 0.01
    assert shares.max() <= 0.76
    # Two views of one photograph are not the same part of it.
    apart = np.abs(views.pictures[:12].astype(float) - views.pictures[12:]).mean(axis=(1, 2, 3))
    assert (apart > 2).all()


def test_what_is_recognized_in_a_view_is_what_the_network_sees_in_it(views: Views) -> None:
    training = Training(replace(RUN, untouched=1.0, foreign_masks=0.0, jitter=0.0, hard_masks=0.0))
    batch = ViewStream(views, training.run, training.generator).draw_batch()
    assert batch.recognized is not None
    assert training.net.recognition is not None
    seen = training.net.recognition(batch.real, batch.mask)
    for kept, now in zip(batch.recognized, seen, strict=True):
        assert kept.shape == now.shape
        # The view was looked at larger than it is kept: near, and nearer than another picture's.
        apart, others = (kept - now).abs().mean(), (kept - now.roll(1, 0)).abs().mean()
        assert apart < 0.7 * others


def test_views_are_made_once_and_anew_for_another_run(few: Photographs, tmp_path: Path) -> None:
    views = load_views(few, RUN, tmp_path, Parallel())
    files = sorted(tmp_path.glob("*.npy"))
    before = [file.stat().st_mtime_ns for file in files]
    assert len(before) == 4
    again = load_views(few, RUN, tmp_path, Parallel())
    assert [file.stat().st_mtime_ns for file in files] == before
    assert np.array_equal(again.things, views.things)
    other = load_views(few, replace(RUN, seed=4), tmp_path, Parallel())
    assert not np.array_equal(other.pictures, views.pictures)


def test_a_folder_of_views_that_was_not_finished_is_made_anew(few: Photographs, tmp_path: Path) -> None:
    whole = load_views(few, RUN, tmp_path, Parallel())
    (tmp_path / "views.json").unlink()
    np.save(tmp_path / "things.npy", np.zeros(3))
    again = load_views(few, RUN, tmp_path, Parallel())
    for name in ("pictures", "masks", "places", "things"):
        assert np.array_equal(getattr(again, name), getattr(whole, name)), name


@pytest.mark.slow
def test_the_recognition_head_learns_alone(views: Views) -> None:
    training = Training(replace(RUN, batch=16))
    before = {name: tensor.clone() for name, tensor in training.net.state_dict().items()}
    stream = SameBatch(ViewStream(views, training.run, training.generator).draw_batch())
    losses = [training.train_step(stream) for _ in range(6)]
    assert losses[-1] < 0.93 * losses[0]
    moved = {name for name, tensor in training.net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if name.startswith("recognition_head.")}


def test_a_preset_that_recognizes_nothing_has_no_such_part() -> None:
    with pytest.raises(ValueError, match="has no recognition head"):
        replace(RUN, preset="gknet")


def write_config(path: Path, samples: int) -> Path:
    settings = 'preset = "gknet-s"\nonly = "recognition_head"\nsize = 32\nbatch = 4\nviews = 1\n'
    path.write_text(f"{settings}samples = {samples}\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_command_makes_views_once(small_pool: Path, tmp_path: Path) -> None:
    out, made = tmp_path / "run", []
    for samples in (4, 8):
        config = write_config(tmp_path / "run.toml", samples)
        done = call_command(train.main, "--config", config, "--data", small_pool, "--out", out)
        assert done.code == 0, done.err
        assert samples <= torch.load(out / "state.pt", weights_only=True)["samples"] < samples + 4
        made.append((out / "views" / "things.npy").stat().st_mtime_ns)
    assert made[0] == made[1]
    weights.load(out / "weights.safetensors")


@pytest.mark.slow
def test_the_command_trains_in_two_processes_and_goes_on_with_the_views_that_one_makes(
    small_pool: Path, tmp_path: Path
) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    config = write_config(tmp_path / "run.toml", 4)
    assert call_command(train.main, "--config", config, "--data", small_pool, "--out", alone).code == 0
    command = [*TORCHRUN, "-m", "training.train", "--config", config, "--data", small_pool, "--out", together]
    for samples in (16, 32):
        write_config(config, samples)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        state = torch.load(together / "state.pt", weights_only=True)
        assert samples <= state["samples"] < samples + 8
        assert len(state["generators"]) == 2
        assert not torch.equal(*state["generators"])
    weights.load(together / "weights.safetensors")
    for out in (alone, together):
        assert json.loads((out / "views" / "views.json").read_text(encoding="utf-8"))["views"] == 1
    made = [np.load(out / "views" / "things.npy").astype(np.float32) for out in (alone, together)]
    np.testing.assert_allclose(*made, atol=0.02)
