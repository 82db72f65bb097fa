"""Run a command of `training` and turn its outcome into an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gknet.errors import HarmonizeError


def run_command(name: str, work: Callable[[], None]) -> int:
    """Run the work and return an exit code: 0; 2 after a one-line error message; 130 after Ctrl-C."""
    try:
        work()
    except (HarmonizeError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    return 0


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Defer Ctrl-C until the end of the block: safetensors would turn it into another error."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
