"""A state that travels in pieces goes on as the whole one would, but for what float16 and bfloat16 round."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gknet.network import weights
from training.data.shards import find_shards, read_photographs
from training.data.streams.composites import CompositeStream, photograph_size
from training.engine import state_pieces
from training.engine.run import TrainingRun
from training.engine.training import Training

ROOT = Path(__file__).parents[3]
TINY = TrainingRun(preset="gknet-s", size=32, batch=4, samples=400, learning_rate=1e-3, loss="foreground_rmse")


def stream(training: Training, pool: Path) -> CompositeStream:
    photographs = read_photographs(find_shards([pool]), photograph_size(training.run), validation=False)
    return CompositeStream(photographs, training.run, training.generator)


@pytest.fixture(scope="module")
def run(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five steps' state."""
    folder = tmp_path_factory.mktemp("run")
    training = Training(TINY)
    draws = stream(training, pool)
    for _ in range(5):
        training.learn(draws)
    training.save(folder / "state.pt")
    return folder


def test_pieces_are_small_and_hold_the_whole_state(
    run: Path, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tensors stay whole: the largest holds 3.2 MB.
    monkeypatch.setattr(state_pieces, "LARGEST", 2**22)
    pieces = state_pieces.split(run, tmp_path / "pieces")
    assert len(pieces) > 5
    assert max(piece.stat().st_size for piece in pieces) < 2**22 + 2**16
    state_pieces.join(tmp_path / "pieces", tmp_path / "joined")
    whole, joined = Training(TINY), Training(TINY)
    whole.resume(run / "state.pt")
    joined.resume(tmp_path / "joined" / "state.pt")
    assert (joined.step, joined.samples) == (whole.step, whole.samples)
    for name, tensor in whole.result.state_dict().items():
        torch.testing.assert_close(joined.result.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    moments = whole.optimizer.state_dict()["state"][0]["exp_avg_sq"]
    torch.testing.assert_close(joined.optimizer.state_dict()["state"][0]["exp_avg_sq"], moments, atol=0, rtol=1e-2)
    joined.learn(stream(joined, pool))
    net = weights.load(tmp_path / "joined" / "weights.safetensors")
    assert torch.equal(net.head.weight, whole.result.head.weight.half().float())


def test_without_the_moments_adam_starts_anew(
    run: Path, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_pieces, "LARGEST", 2**22)
    state_pieces.split(run, tmp_path / "pieces")[-1].unlink()
    state_pieces.join(tmp_path / "pieces", tmp_path / "joined")
    joined = Training(TINY)
    joined.resume(tmp_path / "joined" / "state.pt")
    assert not joined.optimizer.state_dict()["state"]
    assert joined.step == 5
    joined.learn(stream(joined, pool))


def test_a_joined_run_draws_what_it_has_not_drawn_yet(run: Path, pool: Path, tmp_path: Path) -> None:
    state_pieces.split(run, tmp_path / "pieces")
    state_pieces.join(tmp_path / "pieces", tmp_path / "joined")
    joined = Training(TINY)
    joined.resume(tmp_path / "joined" / "state.pt")
    assert not torch.equal(stream(joined, pool).batch().composite, stream(Training(TINY), pool).batch().composite)


def test_pieces_that_do_not_fit_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no saved run"):
        state_pieces.split(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="holds no state"):
        state_pieces.join(tmp_path, tmp_path)
    monkeypatch.setattr(state_pieces, "LARGEST", 2**22)
    pieces = state_pieces.split(run, tmp_path / "pieces")
    content = pieces[0].read_bytes()
    pieces[0].unlink()
    with pytest.raises(ValueError, match="a piece is missing"):
        state_pieces.join(tmp_path / "pieces", tmp_path)
    pieces[0].write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"state-000.safetensors is no piece"):
        state_pieces.join(tmp_path / "pieces", tmp_path)
    other = Training(replace(TINY, seed=1))
    other.save(tmp_path / "state.pt")
    other_pieces = state_pieces.split(tmp_path, tmp_path / "other")
    pieces[0].write_bytes(other_pieces[0].read_bytes())
    with pytest.raises(ValueError, match="another run or another moment"):
        state_pieces.join(tmp_path / "pieces", tmp_path)


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.engine.state_pieces", "join", str(tmp_path), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"state_pieces: {tmp_path} holds no state-*.safetensors\n"


def test_what_runs_on_a_bare_gpu_machine_needs_no_more_than_it_has() -> None:
    program = (
        "import sys, training.train, training.evaluation.bare_network, training.engine.state_pieces\n"
        "print({'pyvips', 'rich', 'cyclopts', 'skimage', 'hypothesis'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_a_gpu_run_ends_within_its_minute(pool: Path, tmp_path: Path) -> None:
    tree = tmp_path / "checkout"
    shutil.copytree(ROOT / "training", tree / "training")
    shutil.copytree(ROOT / "gknet", tree / "gknet")
    shutil.copytree(pool, tree / ".gpu")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CONFIG": "training/configs/gknet_s.toml",
        "DEVICE": "cpu",
    }
    command = [str(tree / "training/gpu_run.sh"), "1", str(tmp_path / "out")]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert time.monotonic() - start < 60
    assert done.returncode == 0, done.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"log.txt", "weights.safetensors", *(f"state-00{number}.safetensors" for number in range(3))}
    assert "all " in (tmp_path / "out" / "log.txt").read_text()
    state_pieces.join(tmp_path / "out", tmp_path / "run")
    first, second = weights.load(tmp_path / "out" / "weights.safetensors"), tmp_path / "run" / "weights.safetensors"
    assert torch.equal(first.head.weight, weights.load(second).head.weight)
