"""Log a run's progress: TensorBoard curves and pictures, and progress lines on the terminal."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from training.engine.training import Training


class Logger:
    """The log of one run, in `out/tensorboard` and on the terminal."""

    def __init__(self, out: Path, training: Training, minutes: float) -> None:
        self.writer = SummaryWriter(str(out / "tensorboard"))
        self.minutes = minutes
        self.start = time.monotonic()
        self.first = training.samples
        self.loss: float | None = None

    def add_loss(self, error: float) -> None:
        """Add the loss of one step to the moving average."""
        self.loss = error if self.loss is None else 0.99 * self.loss + 0.01 * error

    def log_progress(self, training: Training) -> None:
        """Print a progress line and add a point to each curve."""
        if self.loss is None:
            return
        elapsed = time.monotonic() - self.start
        speed = (training.samples - self.first) / elapsed
        left = min((training.run.samples - training.samples) / speed / 60, self.minutes - elapsed / 60)
        print(
            f"step {training.step}  {training.samples} samples  loss {self.loss:.5f}  "
            f"{speed:.0f} samples/s  {left:.0f} min left",
            flush=True,
        )
        self.writer.add_scalar("loss", self.loss, training.samples)
        self.writer.add_scalar("learning_rate", training.compute_learning_rate(), training.samples)
        self.writer.add_scalar("samples_per_second", speed, training.samples)

    def add_pictures(self, training: Training) -> None:
        """Log the last step's pictures, from top to bottom: composite, harmonized, real and mask."""
        if training.latest is not None:
            batch, harmonized = training.latest
            self.writer.add_image(
                "composite, harmonized, real, mask", make_picture_grid(*batch[:3], harmonized), training.samples
            )

    def close(self) -> None:
        """Flush and close the log."""
        self.writer.close()


def make_picture_grid(composite: Tensor, real: Tensor, mask: Tensor, harmonized: Tensor) -> Tensor:
    """Return pictures as a grid (3, 4*H, B*W) in [0, 1], a column per picture.

    A column shows composite, harmonized, real and mask from top to bottom.
    composite, real, harmonized: (B, 3, H, W).
    mask: (B, 1, H, W).
    """
    rows = [composite, harmonized, real, mask.expand_as(composite)]
    columns = torch.cat(rows, dim=2).clamp(0, 1)  # (B, 3, 4*H, W)
    return torch.cat(list(columns), dim=2).float().cpu()
