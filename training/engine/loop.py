"""The training loop: run steps, log progress and save until the schedule, time limit or a signal ends it."""

from __future__ import annotations

import time
from pathlib import Path

from gknet.network import weights
from training.engine.batch import Stream
from training.engine.logger import Logger
from training.engine.stopping import catch_stop_signals
from training.engine.training import Training

REPORT_SECONDS = 10
SAVE_SECONDS = 300


def train(training: Training, stream: Stream, out: Path, minutes: float, *, anneal: bool = False) -> bool:
    """Train until the schedule or the time limit ends, or until SIGTERM or Ctrl-C.

    Writes `state.pt` and `weights.safetensors` to `out`. With `anneal`, the learning rate schedule ends with the time
    limit. If no time is left (0 or below), it takes one step, at the final rate. Returns False if a signal stopped it.
    Raises NotFiniteError and leaves the last saved state untouched.
    """
    logger = Logger(out, training, minutes) if training.parallel.rank == 0 else None
    start = saved = reported = time.monotonic()
    training.set_training_mode()
    limit = 60 * minutes
    if anneal and limit <= 0:
        training.time_share = 1.0
    with catch_stop_signals() as is_interrupted:
        try:
            ended = False
            while training.samples < training.run.samples and not ended:
                error = training.train_step(stream)
                now = time.monotonic()
                if anneal and limit > 0:
                    training.time_share = (now - start) / limit
                ended = training.parallel.is_any(is_interrupted() or now - start > limit, training.device)
                if logger:
                    logger.add_loss(error)
                    if now - reported > REPORT_SECONDS:
                        reported = now
                        logger.log_progress(training)
                if training.parallel.is_any(now - saved > SAVE_SECONDS, training.device):
                    saved = now
                    _save(training, logger, out)
            _save(training, logger, out)
        finally:
            if logger:
                logger.close()
        return not is_interrupted()


def _save(training: Training, logger: Logger | None, out: Path) -> None:
    training.save(out / "state.pt")
    if logger:
        weights.save(training.result, out / "weights.safetensors")
        logger.add_pictures(training)
