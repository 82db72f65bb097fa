"""How a long run is told to end: SIGTERM or Ctrl-C, and it ends after what it is at."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Within the block neither signal stops anything by itself; what it gives says whether one came."""
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
