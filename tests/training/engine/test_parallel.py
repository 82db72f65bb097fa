"""Two real processes that train together over gloo, beside one that takes all their composites alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gknet.network import weights
from training.data.shards import find_shards, read_photographs
from training.data.streams.composites import CompositeStream, choose_photograph_size
from training.engine.run import TrainingRun

ROOT = Path(__file__).parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def steps(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty batches of sixteen composites."""
    run = TrainingRun(preset="gknet-s", size=32, batch=16)
    photographs = read_photographs(find_shards([pool]), choose_photograph_size(run), validation=False)
    stream = CompositeStream(photographs, run, torch.Generator().manual_seed(0))
    made: list[list[torch.Tensor]] = []
    while len(made) < 40:
        batch = stream.draw_batch()
        if len(batch.mask) == 16:
            made.append(list(batch[:3]))
    path = tmp_path_factory.mktemp("steps") / "steps.pt"
    torch.save(made, path)
    return path


def trained(steps: Path, launcher: list[str], only: str) -> dict[str, Any]:
    result = steps.with_name(f"{only}-{len(launcher)}.pt")
    command = [*launcher, str(ROOT / "tests/training/in_step.py"), str(steps), str(result), only]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = torch.load(result, weights_only=True)
    return loaded


def test_two_processes_stay_equal_and_learn_as_one_with_twice_the_batch(steps: Path) -> None:
    alone, together = trained(steps, [sys.executable], "all"), trained(steps, TORCHRUN, "all")
    assert (alone["processes"], together["processes"]) == (1, 2)
    first, second = torch.tensor(alone["losses"]), torch.tensor(together["losses"])
    # Batch norm sees half as many composites at a time, so the curves agree but for that.
    assert first[-15:].mean() < first[:15].mean()
    torch.testing.assert_close(second[:3], first[:3], rtol=0.02, atol=0)
    assert (first - second).abs().max() < 0.2 * first.mean()
    assert (first[-15:].mean() - second[-15:].mean()).abs() < 0.05 * first[-15:].mean()


def test_without_batch_norm_two_processes_do_exactly_what_one_does(steps: Path) -> None:
    alone = trained(steps, [sys.executable], "global_head")
    together = trained(steps, TORCHRUN, "global_head")
    torch.testing.assert_close(torch.tensor(together["losses"]), torch.tensor(alone["losses"]), rtol=1e-4, atol=0)
    moved = (alone["weights"] - together["weights"]).abs()
    assert moved.max() < 1e-3
    assert moved.mean() < 1e-6


def test_the_command_trains_in_two_processes_and_goes_on(pool: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('preset = "gknet-s"\nsize = 32\nbatch = 4\nsamples = 64\n', encoding="utf-8")
    command = [*TORCHRUN, "-m", "training.train", "--config", str(config), "--data", str(pool)]
    command += ["--out", str(tmp_path / "run")]
    for samples in (64, 128):
        config.write_text(f'preset = "gknet-s"\nsize = 32\nbatch = 4\nsamples = {samples}\n', encoding="utf-8")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
        assert samples <= state["samples"] < samples + 8
        assert len(state["generators"]) == 2
        assert not torch.equal(*state["generators"])
    weights.load(tmp_path / "run" / "weights.safetensors")
