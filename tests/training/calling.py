"""A command's `main`, called in this process: a process of its own would spend seconds on importing torch."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
import torch


class Outcome(NamedTuple):
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str


def call_command(main: Callable[[], int], *arguments: str | Path) -> Outcome:
    """Call `main` with these arguments. Torch's threads and random numbers are as before afterwards."""
    out, err = io.StringIO(), io.StringIO()
    threads = torch.get_num_threads()
    with (
        pytest.MonkeyPatch.context() as patched,
        torch.random.fork_rng(devices=[]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patched.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            code = ended.code
        finally:
            torch.set_num_threads(threads)
    return Outcome(code, out.getvalue(), err.getvalue())
