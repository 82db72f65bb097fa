"""Two real processes that train together over gloo, beside one that takes all their composites alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.in_step import train_in_step
from training.data.shards import find_shards, read_photographs
from training.data.streams.composites import CompositeStream, choose_photograph_size
from training.engine.parallel import Parallel
from training.engine.run import TrainingRun

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
ROOT = Path(__file__).parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def steps(pool: Path) -> list[list[torch.Tensor]]:
    """Three batches of sixteen composites, twice."""
    run = TrainingRun(preset="gknet-s", size=32, batch=16)
    photographs = read_photographs(find_shards([pool]), choose_photograph_size(run), validation=False)
    stream = CompositeStream(photographs, run, torch.Generator().manual_seed(0))
    made: list[list[torch.Tensor]] = []
    while len(made) < 3:
        batch = stream.draw_batch()
        if len(batch.mask) == 16:
            made.append(list(batch[:3]))
    return made * 2


@pytest.fixture(scope="module")
def together(steps: list[list[torch.Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what two processes came to."""
    folder = tmp_path_factory.mktemp("together")
    torch.save(steps, folder / "steps.pt")
    command = [*TORCHRUN, str(ROOT / "tests/training/in_step.py"), str(folder / "steps.pt"), str(folder)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_stay_equal_and_learn_as_one_with_twice_the_batch(
    steps: list[list[torch.Tensor]], together: Path, tmp_path: Path
) -> None:
    alone = train_in_step(steps, "all", Parallel(), tmp_path / "state.pt")
    both = torch.load(together / "all.pt", weights_only=True)
    assert (alone["processes"], both["processes"]) == (1, 2)
    first, second = alone["losses"], both["losses"]
    # Batch norm sees half as many composites at a time, so the curves agree but for that.
    assert first[-3:].mean() < first[:3].mean()
    torch.testing.assert_close(second[:3], first[:3], rtol=0.02, atol=0)
    assert (first - second).abs().max() < 0.2 * first.mean()
    assert (first[-3:].mean() - second[-3:].mean()).abs() < 0.05 * first[-3:].mean()


def test_without_batch_norm_two_processes_do_exactly_what_one_does(
    steps: list[list[torch.Tensor]], together: Path, tmp_path: Path
) -> None:
    alone = train_in_step(steps, "global_head", Parallel(), tmp_path / "state.pt")
    both = torch.load(together / "global_head.pt", weights_only=True)
    torch.testing.assert_close(both["losses"], alone["losses"], rtol=1e-4, atol=0)
    moved = (alone["weights"] - both["weights"]).abs()
    assert moved.max() < 1e-3
    assert moved.mean() < 1e-6
