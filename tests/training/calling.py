"""A command's `main`, called in this process: a process of its own would spend seconds on importing torch."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch


class Outcome(NamedTuple):
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str


def call_command(main: Callable[[], Any], *arguments: str | Path) -> Outcome:
    """Call `main` with these arguments. Signal handlers and torch's threads and random numbers are kept.

    Ctrl-C ends it, also where the tests themselves were started without that.
    """
    out, err = io.StringIO(), io.StringIO()
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        pytest.MonkeyPatch.context() as patched,
        torch.random.fork_rng(devices=[]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        patched.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            torch.set_num_threads(threads)
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Outcome(code, out.getvalue(), err.getvalue())
