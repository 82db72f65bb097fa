"""Stop a long run cleanly on SIGTERM or Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Catch SIGTERM and Ctrl-C within the block. Yields a function that returns whether one arrived."""
    caught: list[int] = []
    before = [
        (number, signal.signal(number, lambda came, _: caught.append(came)))
        for number in (signal.SIGTERM, signal.SIGINT)
    ]
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
