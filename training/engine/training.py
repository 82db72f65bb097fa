"""The state of a run: network, moving average, optimizer, random generator and progress."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from gknet.atomic import replace_file
from gknet.network import weights
from gknet.network.config import GKNetConfig
from gknet.network.extensions.global_head import apply_color_matrix
from gknet.network.extensions.recognition import RecognizedFeatures
from gknet.network.model import GKNet
from training.engine import loss
from training.engine.batch import Batch, Stream
from training.engine.heads_apart import separate_heads
from training.engine.parallel import Parallel
from training.engine.run import TrainingRun

LOSSES = {"foreground_mse": loss.foreground_mse, "foreground_rmse": loss.foreground_rmse}


class NotFiniteError(Exception):
    """The loss or its gradient is NaN or infinite. Holds the batch that caused it."""

    def __init__(self, step: int, what: str, batch: Batch) -> None:
        super().__init__(f"the {what} is not finite at step {step}")
        self.step = step
        self.batch = batch


def is_in_statistics_path(name: str) -> bool:
    """Return whether a parameter of `GKNet` belongs to the path of colour statistics and recognition."""
    return name.startswith(("global_head.", "recognition_head.")) and "regions" not in name


def is_trained(run: TrainingRun, name: str) -> bool:
    """Return whether a run trains a parameter of `GKNet`. `training.heads.variants` trains those of the variants."""
    if name.startswith("variant_head."):
        return False
    return run.only == "all" or (name.startswith(f"{run.only}.") and is_in_statistics_path(name))


class StatisticsPath(nn.Module):
    """The global head without the convolutions' part: it sees colour statistics and recognition alone.

    Arguments and result as `GKNet`.
    """

    def __init__(self, net: GKNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, composite: Tensor, mask: Tensor, *, recognized: RecognizedFeatures | None = None) -> Tensor:
        nothing = composite.new_zeros(composite.shape[0], 8 * self.net.config.width, 1, 1)
        matrix = self.net.predict_color_matrix(composite, mask, nothing, recognized)
        assert matrix is not None
        return composite + mask * apply_color_matrix(matrix, composite)


def _update_average(ema: float, old: Tensor, new: Tensor, seen: Tensor | int) -> Tensor:
    # A smaller decay at first, or the average would keep the untrained weights.
    decay = min(ema, (1 + float(seen)) / (10 + float(seen)))
    return torch.lerp(new, old, decay) if new.is_floating_point() else new


class Training:
    """One run, in this process alone or together with others (`parallel`).

    Each process draws its own `run.batch` composites per step. Gradients and batch norm statistics are averaged, so
    that all processes have the same weights after every step.
    """

    def __init__(self, run: TrainingRun, device: torch.device | str = "cpu", parallel: Parallel | None = None) -> None:
        self.run = run
        self.parallel = parallel or Parallel()
        torch.manual_seed(run.seed)
        self.net = weights.build(run.network()).to(device)
        self.set_training_mode()
        if run.heads_apart > 1:
            assert self.net.recognition_head is not None
            separate_heads(self.net.recognition_head, run.heads_apart)
        self.optimizer = torch.optim.Adam(self._parameters(), lr=run.learning_rate, eps=1e-8)
        self.trained_module = self._build_trained_module()
        self.average = AveragedModel(self.net, avg_fn=partial(_update_average, run.ema), use_buffers=True)
        self.generator = torch.Generator(device)
        self.step = 0
        self.samples = 0
        self.seconds = 0.0
        """CPU time of all steps so far in this process."""
        self._reseed()
        self.time_share = 0.0
        """Share of the time limit that has passed, for a schedule that ends with it."""
        self.latest: tuple[Batch, Tensor] | None = None
        """Up to eight of the last step's composites and the network's output for them, (B, 3, H, W)."""

    def _reseed(self) -> None:
        # Different draws from those of other processes and of earlier parts of the run.
        self.generator.manual_seed(self.run.seed + 1_000_003 * self.parallel.rank + 7_919 * self.step)

    def _parameters(self) -> list[dict[str, Any]]:
        fast: list[nn.Parameter] = []
        slow: list[nn.Parameter] = []
        for name, parameter in self.net.named_parameters():
            parameter.requires_grad_(is_trained(self.run, name))
            if parameter.requires_grad:
                (slow if name.startswith("global_head.") else fast).append(parameter)
        groups = [{"params": fast, "factor": 1.0}, {"params": slow, "factor": self.run.global_head_rate}]
        return [group for group in groups if group["params"]]

    def set_training_mode(self) -> None:
        """Set trained parts to training mode and frozen parts to evaluation mode."""
        self.net.train()
        for name, part in self.net.named_children():
            part.train(self.run.only in ("all", name))

    def _build_trained_module(self) -> nn.Module:
        """Return the network, or the statistics path if that is trained alone."""
        trained: nn.Module = self.net
        if self.run.only == "global_head":
            trained = StatisticsPath(self.net)
        if self.parallel.count > 1:
            trained = DistributedDataParallel(trained)
        return trained

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return self.generator.device

    @property
    def result(self) -> GKNet:
        """The network that is evaluated and shipped."""
        net = self.average.module if self.run.ema else self.net
        assert isinstance(net, GKNet)
        return net

    def load_weights(self, path: Path) -> None:
        """Load the weights of a file. Raises WeightsError or ValueError if they belong to another network.

        If the run trains one of several narrow recognition heads, that head starts from its initial values.
        """
        given = weights.load(path)
        values = given.state_dict()
        if self.run.heads > 1 and given.config == replace(self.run, heads=1).network():
            values = {name: value for name, value in values.items() if not is_trained(self.run, name)}
        elif given.config != self.net.config:
            raise ValueError(
                f"{path} contains a different network from the one that this run trains; choose other weights"
            )
        self.load_values(values)

    def load_values(self, values: dict[str, Tensor]) -> None:
        """Load values by name; all others stay unchanged."""
        values = {**self.net.state_dict(), **values}
        self.net.load_state_dict(values)
        self.average.module.load_state_dict(values)

    def save(self, path: Path) -> None:
        """Save the whole state atomically: a crash leaves the previous file intact.

        Every process must call this; rank 0 writes.
        """
        generators = self.parallel.gather(self.generator.get_state())
        if self.parallel.rank:
            return
        state = {
            "run": asdict(self.run),
            "network": self.net.config.to_dict(),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": generators,
            "device": self.device.type,
            "step": self.step,
            "samples": self.samples,
            "seconds": self.seconds,
        }
        with replace_file(path) as unfinished, unfinished.open("wb") as file:
            torch.save(state, file)

    def resume(self, path: Path) -> None:
        """Resume from a saved state. Raises ValueError if it belongs to another network or another part of it.

        The random generator starts afresh if the number of processes or the type of device differs.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch documents no exceptions; any means an invalid file
            raise ValueError(f"{path} is not a saved run: {error}") from error
        saved = GKNetConfig.from_dict(state["network"]) if "network" in state else None
        if saved != self.net.config or state["run"]["only"] != self.run.only:
            raise ValueError(f"{path} contains a run of a different network or part of it; choose another folder")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.samples = state["step"], state["samples"]
        self.seconds = state["seconds"]
        generators = state["generators"]
        if state["device"] == self.device.type and len(generators) == self.parallel.count:
            self.generator.set_state(generators[self.parallel.rank])
        else:
            self._reseed()

    def compute_learning_rate(self) -> float:
        """Return the learning rate: cosine decay over the run's samples, after a linear warm-up."""
        done = min(1.0, max(self.samples / self.run.samples, self.time_share))
        cosine = self.run.final_rate + (1 - self.run.final_rate) * (1 + math.cos(math.pi * done)) / 2
        ramp = min(1.0, (self.step + 1) / self.run.warmup) if self.run.warmup else 1.0
        return self.run.learning_rate * cosine * ramp

    def forward(self, batch: Batch) -> Tensor:
        """Return the harmonized pictures, (B, 3, H, W)."""
        # On the CPU, fused attention's backward takes twice as long as the plain one for so few tokens.
        plain = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with plain, torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.bfloat16):
            harmonized: Tensor = self.trained_module(batch.composite, batch.mask, recognized=batch.recognized)
        return harmonized.float()

    def train_step(self, stream: Stream) -> float:
        """Take one step and return the loss.

        Raises NotFiniteError, before any weight changes, if the loss or gradient is NaN or infinite.
        """
        started = time.process_time()
        # Dropout uses torch's global generator, which isn't part of a saved state.
        torch.manual_seed(self.run.seed + 1_000_003 * self.parallel.rank + 7_919 * self.step)
        batch = stream.draw_batch()
        for group in self.optimizer.param_groups:
            group["lr"] = self.compute_learning_rate() * group["factor"]
        harmonized = self.forward(batch)
        error = LOSSES[self.run.loss](harmonized, batch.real, batch.mask)
        seen = torch.stack([error.detach(), error.new_tensor(len(batch.composite))])
        mean_error, mean_count = self.parallel.average(seen).tolist()
        if not math.isfinite(mean_error):
            raise NotFiniteError(self.step, "loss", batch)
        self.optimizer.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.run.clip or math.inf)
        if not torch.isfinite(norm):
            raise NotFiniteError(self.step, "gradient", batch)
        self.optimizer.step()
        self._average_buffers()
        self.average.update_parameters(self.net)
        self.step += 1
        self.samples += round(mean_count * self.parallel.count)
        self.latest = Batch(batch.composite[:8], batch.real[:8], batch.mask[:8]), harmonized.detach()[:8]
        self.seconds += time.process_time() - started
        return float(mean_error)

    def _average_buffers(self) -> None:
        """Average batch norm's running statistics over all processes."""
        if self.parallel.count == 1:
            return
        kept = self.net.state_dict(keep_vars=True)  # without the frozen trunk's
        buffers = [
            kept[name] for name, buffer in self.net.named_buffers() if name in kept and buffer.is_floating_point()
        ]
        means = self.parallel.average(torch.cat([buffer.flatten() for buffer in buffers]))
        for buffer, mean in zip(buffers, torch.split(means, [buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(mean.view_as(buffer))
