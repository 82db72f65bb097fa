"""What test_parallel.py runs, alone and under torchrun: steps of a small training on composites made beforehand.

`in_step.py STEPS.pt RESULT.pt ONLY`: STEPS holds the batches, each process takes its share of each; the first
process writes the losses and the final weights. Fails if the processes' weights differ after any step.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from training.engine.batch import Batch
from training.engine.parallel import Parallel, end_process
from training.engine.run import TrainingRun
from training.engine.training import Training


class Shares:
    """This process's part of every batch."""

    def __init__(self, steps: list[list[Tensor]], parallel: Parallel) -> None:
        self.steps = iter(steps)
        self.parallel = parallel

    def draw_batch(self) -> Batch:
        return Batch(*(field.chunk(self.parallel.count)[self.parallel.rank] for field in next(self.steps)))


def everything(training: Training) -> Tensor:
    """All weights, all running statistics and their moving averages in one row."""
    states = [*training.net.state_dict().values(), *training.average.state_dict().values()]
    return torch.cat([tensor.double().flatten() for tensor in states])


def main() -> None:
    torch.set_num_threads(1)
    parallel = Parallel.join(torch.device("cpu"))
    train_in_step(torch.load(sys.argv[1], weights_only=True), parallel)
    parallel.leave()


def train_in_step(steps: list[list[Tensor]], parallel: Parallel) -> None:
    run = TrainingRun(
        preset="gknet-s",
        only=sys.argv[3],  # type: ignore[arg-type]
        size=32,
        batch=len(steps[0][0]) // parallel.count,
        samples=10_000,
        learning_rate=3e-4,
        loss="foreground_rmse",
        clip=1.0,
    )
    training = Training(run, "cpu", parallel)
    for module in training.net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # each process would forget something else
    shares = Shares(steps, parallel)
    losses = []
    for step in range(len(steps)):
        losses.append(training.train_step(shares))
        digest = hashlib.sha256(everything(training).numpy().tobytes()).digest()
        rows = parallel.gather(torch.tensor(list(digest)))
        assert all(torch.equal(row, rows[0]) for row in rows), f"weights differ after step {step}"
    assert training.samples == sum(len(step[0]) for step in steps)
    training.save(Path(sys.argv[2]).with_suffix(".state"))
    if parallel.rank == 0:
        torch.save({"losses": losses, "weights": everything(training), "processes": parallel.count}, sys.argv[2])


if __name__ == "__main__":
    main()
    end_process(0)
