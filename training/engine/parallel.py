"""Data-parallel training in several processes, one per device, as started by torchrun."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Parallel:
    """This process's rank among all training processes; rank 0 of 1 without torchrun."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Parallel:
        """Join the process group if torchrun started this process."""
        if "WORLD_SIZE" not in os.environ:
            return cls()
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    def leave(self) -> None:
        """Leave the process group."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def select_device(self, wanted: torch.device) -> torch.device:
        """Return this process's device: its own GPU if there are several."""
        if wanted.type != "cuda" or "LOCAL_RANK" not in os.environ:
            return wanted
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
        return own

    def average(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over all processes."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.count
        return values

    def wait(self) -> None:
        """Wait until every process has reached this point."""
        if self.count > 1:
            distributed.barrier()

    def is_any(self, here: bool, device: torch.device) -> bool:
        """Return whether the condition holds in any process. All processes get the same answer."""
        if self.count == 1:
            return here
        return bool(self.average(torch.tensor(float(here), device=device)) > 0)

    def gather(self, state: Tensor) -> list[Tensor]:
        """Return a CPU tensor from every process, in order of rank."""
        if self.count == 1:
            return [state]
        gathered: list[Tensor] = [state] * self.count
        distributed.all_gather_object(gathered, state)
        return gathered


def end_process(code: int) -> NoReturn:
    """Exit with a code once all work is done.

    Threads that gloo leaves behind can abort the interpreter during shutdown, and torchrun would report the run as
    failed. Under torchrun, this function therefore exits without shutting the interpreter down.
    """
    if "WORLD_SIZE" not in os.environ:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
