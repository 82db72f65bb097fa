"""Making files of training data for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable

from training.engine.stopping import catch_stop_signals


def make_pieces(make_piece: Callable[[], int], count_pieces: Callable[[], int], minutes: float) -> None:
    """Make pieces until the minutes have passed or Ctrl-C or SIGTERM arrives, and print the speed after each.

    make_piece: makes one and returns the number of its composites.   count_pieces: of the whole folder.
    """
    started = time.monotonic()
    with catch_stop_signals() as is_stopping:
        while not is_stopping() and time.monotonic() - started < 60 * minutes:
            before = time.monotonic()
            speed = make_piece() / (time.monotonic() - before)
            print(f"{count_pieces()} pieces, {speed:.1f} composites per second", flush=True)
