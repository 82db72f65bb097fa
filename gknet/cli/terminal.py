"""Standard output and standard error, which may be closed, full, or unable to show a character."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

from gknet.ending import list_ending_signals


def open_missing_streams() -> None:
    """Open the null device in place of closed standard streams, so that no picture file gets one of their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def exit_on_signals() -> None:
    """Exit through an exception on signals that ask for an end, so that unfinished files are removed."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    for number in list_ending_signals():
        signal.signal(number, end)


def say(sentence: str) -> None:
    """Print a line to standard output, which is only told what has been done: where it can't be written, it is lost."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(sentence.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        discard(sys.stdout.fileno())


def warn(sentence: str) -> None:
    """Print a sentence as one line to standard error."""
    with contextlib.suppress(OSError):
        print(f"gknet: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def discard(descriptor: int) -> None:
    """Discard what is still to be written to a standard stream. Prevents a second error when Python exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
