"""Training: `python -m training.train --config training/configs/gknet_s.toml --data FOLDER --out RUN`.

Stops at the end of the schedule, after --minutes, or on SIGTERM, always with the state saved; the same command
goes on from there, with the same draws as if it had never stopped.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard.writer import SummaryWriter

from gknet import weights
from gknet.errors import HarmonizeError
from gknet.harmonizer import choose_device
from gknet.model import GKNet
from training import loss
from training.composites import MARGIN, CompositeStream
from training.run import TrainingRun, read_run
from training.shards import find_shards, read_photographs

SAVE_SECONDS = 300
LOSSES = {"foreground_mse": loss.foreground_mse, "foreground_rmse": loss.foreground_rmse}


class Training:
    """Everything a run is made of: network, moving average, optimizer, draws, and where it stands."""

    def __init__(self, run: TrainingRun, device: torch.device | str = "cpu") -> None:
        self.run = run
        torch.manual_seed(run.seed)
        self.net = GKNet(run.network()).to(device)
        head = self.net.global_head
        slow = [] if head is None else list(head.parameters())
        fast = [p for p in self.net.parameters() if all(p is not other for other in slow)]
        if run.only == "global_head":
            fast = []
            for name, parameter in self.net.named_parameters():
                parameter.requires_grad_(name.startswith("global_head.") and "regions" not in name)
        groups = [{"params": fast, "factor": 1.0}, {"params": slow, "factor": run.global_head_rate}]
        self.optimizer = torch.optim.Adam(
            [group for group in groups if group["params"]], lr=run.learning_rate, eps=1e-8
        )
        self.average = AveragedModel(self.net, avg_fn=self._average, use_buffers=True)
        self.generator = torch.Generator(device).manual_seed(run.seed)
        self.step = 0
        self.samples = 0

    def _average(self, old: Tensor, new: Tensor, seen: Tensor | int) -> Tensor:
        # Early on the average forgets faster, or it would carry the untrained weights along.
        decay = min(self.run.ema, (1 + float(seen)) / (10 + float(seen)))
        return torch.lerp(new, old, decay) if new.is_floating_point() else new

    @property
    def result(self) -> GKNet:
        """The network that is evaluated and shipped."""
        net = self.average.module if self.run.ema else self.net
        assert isinstance(net, GKNet)
        return net

    def start_from(self, path: Path) -> None:
        """Takes over the weights of a file. Raises WeightsError or ValueError if they are of another network."""
        given = weights.load(path)
        if given.config != self.net.config:
            raise ValueError(f"{path} holds another network than this run trains")
        self.net.load_state_dict(given.state_dict())
        self.average.module.load_state_dict(given.state_dict())

    def save(self, path: Path) -> None:
        """The whole state, under a temporary name first: a crash in the middle loses nothing."""
        state = {
            "run": asdict(self.run),
            "network": self.net.config.to_dict(),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "device": self.generator.device.type,
            "step": self.step,
            "samples": self.samples,
        }
        temporary = path.with_name(f".{path.name}.part")
        torch.save(state, temporary)
        temporary.replace(path)

    def resume(self, path: Path) -> None:
        """Goes on from a saved state. Raises ValueError if that is of another network.

        On a device of another kind the draws start anew, for the two make different numbers of one seed.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch documents none; whatever it is, the file is no state
            raise ValueError(f"{path} is no saved run: {error}") from error
        if state.get("network") != self.net.config.to_dict() or state["run"]["only"] != self.run.only:
            raise ValueError(f"{path} holds a run of another network or another part of it")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["device"] == self.generator.device.type:
            self.generator.set_state(state["generator"])
        self.step, self.samples = state["step"], state["samples"]

    def rate(self) -> float:
        """Cosine from the highest to the final learning rate over the run's samples, after a warm-up."""
        done = min(1.0, self.samples / self.run.samples)
        cosine = self.run.final_rate + (1 - self.run.final_rate) * (1 + math.cos(math.pi * done)) / 2
        ramp = min(1.0, (self.step + 1) / self.run.warmup) if self.run.warmup else 1.0
        return self.run.learning_rate * cosine * ramp

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """The network, or the statistics' path alone when that is what is trained."""
        if self.run.only == "all":
            harmonized: Tensor = self.net(composite, mask)
            return harmonized
        head = self.net.global_head
        assert head is not None
        nothing = composite.new_zeros(composite.shape[0], 8 * self.run.network().width, 1, 1)
        change: Tensor = head(composite, mask, nothing)
        return composite + mask * change

    def learn(self, stream: CompositeStream) -> float:
        """One step. Returns the loss; raises FloatingPointError if it is not finite."""
        batch = stream.batch()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group["factor"]
        with torch.autocast(batch.composite.device.type, torch.bfloat16, enabled=self.run.bfloat16):
            harmonized = self.forward(batch.composite, batch.mask)
        error = LOSSES[self.run.loss](harmonized.float(), batch.real, batch.mask)
        if not torch.isfinite(error):
            raise FloatingPointError(f"the loss is {error.item()} at step {self.step}")
        self.optimizer.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        if self.run.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.run.clip)
        self.optimizer.step()
        self.average.update_parameters(self.net)
        self.step += 1
        self.samples += len(batch.composite)
        return error.item()


def train(training: Training, stream: CompositeStream, out: Path, minutes: float) -> None:
    """Trains until the schedule, the time or a SIGTERM ends it; leaves `state.pt` and `weights.safetensors`."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    start = saved = reported = time.monotonic()
    first = training.samples
    running = 0.0
    training.net.train()
    with SummaryWriter(str(out / "tensorboard")) as board:
        while training.samples < training.run.samples and not stopping:
            error = training.learn(stream)
            running = error if running == 0 else 0.99 * running + 0.01 * error
            now = time.monotonic()
            if now - reported > 10:
                reported = now
                speed = (training.samples - first) / (now - start)
                left = (training.run.samples - training.samples) / speed / 60
                left = min(left, minutes - (now - start) / 60)
                print(
                    f"step {training.step}  {training.samples} samples  loss {running:.5f}  "
                    f"{speed:.0f} samples/s  {left:.0f} min left",
                    flush=True,
                )
                board.add_scalar("loss", running, training.samples)
                board.add_scalar("learning_rate", training.rate(), training.samples)
            if now - saved > SAVE_SECONDS:
                saved = now
                _leave(training, out)
            stopping = stopping or now - start > 60 * minutes
    _leave(training, out)


def _leave(training: Training, out: Path) -> None:
    training.save(out / "state.pt")
    weights.save(training.result, out / "weights.safetensors")


def _refuse(error: Exception) -> int:
    """One line on what is wrong; the exit code."""
    print(f"training: {error}", file=sys.stderr)
    return 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of training/configs")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of shards")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; resumed if it has a state")
    parser.add_argument("--weights", type=Path, help="weights to start from when there is no state")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after this time")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        training = Training(read_run(options.config), choose_device(options.device))
        options.out.mkdir(parents=True, exist_ok=True)
        state = options.out / "state.pt"
        if state.is_file():
            training.resume(state)
        elif options.weights:
            training.start_from(options.weights)
        size = round(training.run.size * MARGIN)
        photographs = read_photographs(find_shards(options.data), size, validation=False)
    except (HarmonizeError, ValueError, OSError) as error:
        return _refuse(error)
    print(f"{len(photographs.keys)} photographs, {len(photographs.masks)} masks", flush=True)
    try:
        train(training, CompositeStream(photographs, training.run, training.generator), options.out, options.minutes)
    except HarmonizeError as error:  # anything else from in there is a fault of ours, and keeps its traceback
        return _refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
