"""How a command of `training` ends: done, refused, or stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gknet.errors import HarmonizeError


def run_command(name: str, work: Callable[[], None]) -> int:
    """Does the work. Returns the exit code: 0; 2 after a line that says what is wrong; 130 after Ctrl-C."""
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
    """Lets a Ctrl-C wait until the block is done: safetensors would make another error of it."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
