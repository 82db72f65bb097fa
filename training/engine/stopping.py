"""Stop a long run cleanly on Ctrl-C or another signal that asks for an end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gknet.ending import list_ending_signals


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Catch Ctrl-C and other ending signals within the block. Yields a function that returns whether one arrived."""
    caught: list[int] = []
    before = [
        (number, signal.signal(number, lambda came, _: caught.append(came)))
        for number in (signal.SIGINT, *list_ending_signals())
    ]
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
