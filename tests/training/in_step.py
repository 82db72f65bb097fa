"""What test_parallel.py runs, here and under torchrun: steps of small trainings on composites made beforehand.

`in_step.py STEPS.pt FOLDER`: STEPS holds the batches, each process takes its share of each. Trains the whole network,
then the global head alone; of each, the first process writes the losses and the final weights to FOLDER. Fails if the
processes' weights differ after any step.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from training.engine.batch import Batch
from training.engine.parallel import Parallel, end_process
from training.engine.run import TrainingRun
from training.engine.training import Training

Part = Literal["all", "global_head"]
PARTS: tuple[Part, ...] = get_args(Part)


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
    return torch.cat([tensor.float().flatten() for tensor in states])


def main() -> None:
    torch.set_num_threads(1)
    parallel = Parallel.join(torch.device("cpu"))
    steps, folder = torch.load(sys.argv[1], weights_only=True), Path(sys.argv[2])
    for only in PARTS:
        trained = train_in_step(steps, only, parallel, folder / f"{only}.state")
        if parallel.rank == 0:
            torch.save(trained, folder / f"{only}.pt")
    parallel.leave()


def train_in_step(steps: list[list[Tensor]], only: Part, parallel: Parallel, state: Path) -> dict[str, Any]:
    """Take the steps, save the state, and return losses, weights and the number of processes."""
    run = TrainingRun(
        preset="gknet-s",
        only=only,
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
    training.save(state)
    return {"losses": torch.tensor(losses), "weights": everything(training), "processes": parallel.count}


if __name__ == "__main__":
    main()
    end_process(0)
