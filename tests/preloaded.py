"""`gknet` commands in processes that have torch loaded from the start.

A new Python takes two seconds of a core to import torch. Here multiprocessing's fork server imports it once, and forks
a child for each command: a process of its own, with its own signals, streams, environment and exit code. Only what
modules do as they are imported, and the command line that the system shows, are those of the server.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.machinery import ModuleSpec
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO
from unittest import mock

CLOSED = -10
"""For `Process`: the stream is closed, as by `>&-` in a shell."""


class Process:
    """A running command, with the attributes and methods of `subprocess.Popen` that tests use.

    stdout, stderr: `subprocess.PIPE`, an open file, or CLOSED.   before: what to do in the process before the command.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] = os.environ,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
        before: Callable[[], None] | None = None,
    ) -> None:
        (self.stdout, out), (self.stderr, err) = _open_stream(stdout), _open_stream(stderr)
        request = (list(arguments), cwd or Path.cwd(), dict(env), out, err, before)
        self._process = _start_server().Process(target=_run, args=request)
        # With this name, multiprocessing does not run pytest's own script once more in the child.
        with mock.patch.object(sys.modules["__main__"], "__spec__", ModuleSpec("__main__", None)):
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the exit code. Raise TimeoutError."""
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError(f"process {self.pid} still runs after {timeout:g} s")
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Return what is left of both streams once the process has ended; nothing the second time.

        Raise TimeoutError, and kill the process, if it does not end in time.
        """
        with ThreadPoolExecutor(2) as pool:  # side by side: a full pipe would stop the process
            texts = pool.map(_read_rest, (self.stdout, self.stderr))
            try:
                self.wait(timeout)
            finally:
                self.kill()
            out, err = texts
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _open_stream(kind: int | IO[str]) -> tuple[IO[str] | None, Connection | None]:
    """Return the end that the test reads, if any, and the end for the process, None for a closed stream."""
    if kind == CLOSED:
        return None, None
    if not isinstance(kind, int):
        return None, Connection(os.dup(kind.fileno()), readable=False)
    assert kind == subprocess.PIPE
    readable, writable = os.pipe()
    return os.fdopen(readable, encoding="utf-8"), Connection(writable, readable=False)


def _read_rest(stream: IO[str] | None) -> str:
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


@cache
def _start_server() -> ForkServerContext:
    """Start the process that forks commands, one for each process of pytest. It ends after all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gknet.harmonizer", "gknet.scene", "backend.cli", "backend.server.server"])
    # As `gknet` sets it before it imports torch. Without threads of OpenBLAS, a fork is a whole copy.
    environment = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with mock.patch.dict(os.environ, environment):
        forkserver.ensure_running()
    atexit.register(_kill_all)
    return context


def _kill_all() -> None:
    """Kill what a failed test has left: multiprocessing would wait for it."""
    for process in multiprocessing.active_children():
        process.kill()


def _run(
    arguments: list[str],
    cwd: Path,
    environment: dict[str, str],
    out: Connection | None,
    err: Connection | None,
    before: Callable[[], None] | None,
) -> None:
    """Make the command of a child of the server. Does not return."""
    gc.freeze()  # memory that no collection touches stays shared with the server
    for name, number, stream in (("stdout", 1, out), ("stderr", 2, err)):
        if stream is None:
            os.close(number)
            setattr(sys, name, None)  # as in a new Python
        else:
            os.dup2(stream.fileno(), number)
            stream.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_DFL)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["gknet", *arguments]
    if before is not None:
        before()
    # As `python -c`, to the end: multiprocessing alone would skip what is registered with atexit.
    command = b"import sys; from backend.cli import main; main(sys.argv[1:])"
    failed = ctypes.pythonapi.PyRun_SimpleString(command)  # after SystemExit, this does not return
    ctypes.pythonapi.Py_Exit(abs(failed))
