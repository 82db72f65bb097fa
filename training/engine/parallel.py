"""One training in several processes, one for each device, as torchrun starts them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Parallel:
    """This process among all that train together; alone unless torchrun says otherwise."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, device: torch.device) -> Parallel:
        """Meets the other processes that torchrun started, if it did."""
        if "WORLD_SIZE" not in os.environ:
            return cls()
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    def leave(self) -> None:
        """Parts from the other processes."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def select_device(self, wanted: torch.device) -> torch.device:
        """The device of this process: its own card where there are several."""
        if wanted.type != "cuda" or "LOCAL_RANK" not in os.environ:
            return wanted
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
        return own

    def average(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.count
        return values

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            distributed.barrier()

    def is_any(self, here: bool, device: torch.device) -> bool:
        """Whether it is so in any process: all get the same answer at the same step."""
        if self.count == 1:
            return here
        return bool(self.average(torch.tensor(float(here), device=device)) > 0)

    def gather(self, state: Tensor) -> list[Tensor]:
        """A tensor of the CPU from every process, in the order of their ranks."""
        if self.count == 1:
            return [state]
        gathered: list[Tensor] = [state] * self.count
        distributed.all_gather_object(gathered, state)
        return gathered


def end_process(code: int) -> NoReturn:
    """Ends this process, which has done all it had to, with an exit code.

    What threads gloo leaves behind can abort an interpreter that is being taken down, when the processes have parted
    already, and torchrun would call the whole run a failure. So one of several is not taken down.
    """
    if "WORLD_SIZE" not in os.environ:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
