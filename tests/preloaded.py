"""`gknet` commands in processes that have torch loaded from the start.

A new Python takes two seconds of a core to import torch. Here one process imports it, and forks a child for each
command: a process of its own, with its own signals, streams, environment and exit code. Only what modules do as they
are imported, and the command line that the system shows, are those of the process that was forked.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import FrameType
from typing import IO

CLOSED = -10
"""For `Process`: the stream is closed, as by `>&-` in a shell."""
_LONGEST_REQUEST = 1 << 20


class Process:
    """A running command, with the attributes and methods of `subprocess.Popen` that tests use.

    stdout, stderr: `subprocess.PIPE`, an open file, or CLOSED.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] = os.environ,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
    ) -> None:
        self.returncode: int | None = None
        answer, status = os.pipe()
        self._answer = os.fdopen(answer, "rb", buffering=0)
        streams = [_open_stream(stdout), _open_stream(stderr)]
        self.stdout, self.stderr = (readable for readable, _ in streams)
        descriptors = [status, *(descriptor for _, descriptor in streams if descriptor is not None)]
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd or Path.cwd()),
            "env": dict(env),
            "closed": [descriptor is None for _, descriptor in streams],
        }
        socket.send_fds(_start_server(), [json.dumps(request).encode()], descriptors)
        os.close(status)
        for kind, (_, descriptor) in zip((stdout, stderr), streams, strict=True):
            if kind == subprocess.PIPE and descriptor is not None:
                os.close(descriptor)
        self.pid = int(self._read_line())

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            self.returncode = int(self._read_line())
            self._answer.close()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the exit code; negative for a signal. Raise TimeoutError."""
        if self.returncode is None and not select.select([self._answer], [], [], timeout)[0]:
            raise TimeoutError(f"process {self.pid} still runs after {timeout:g} s")
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Return what is left of both streams once the process has ended; nothing the second time.

        Raise TimeoutError, and kill the process, if it does not end in time.
        """
        deadline = time.monotonic() + timeout
        with ThreadPoolExecutor(2) as pool:  # side by side: a full pipe would stop the process
            texts = [pool.submit(_read_rest, stream) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except TimeoutError:
                self.kill()
                raise
            out, err = (text.result(max(0, deadline - time.monotonic())) for text in texts)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read_line(self) -> bytes:
        line = self._answer.readline()
        assert line.endswith(b"\n"), "the process that forks commands has ended"
        return line


def _open_stream(kind: int | IO[str]) -> tuple[IO[str] | None, int | None]:
    """Return the end that the test reads, if any, and the descriptor for the process, None for a closed stream."""
    if kind == CLOSED:
        return None, None
    if not isinstance(kind, int):
        return None, kind.fileno()
    assert kind == subprocess.PIPE
    readable, descriptor = os.pipe()
    return os.fdopen(readable, encoding="utf-8"), descriptor


def _read_rest(stream: IO[str] | None) -> str:
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


@cache
def _start_server() -> socket.socket:
    """Start the process that forks commands, one for each process of pytest. It ends with its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST_REQUEST)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", str(theirs.fileno())],
            cwd=Path(__file__).parents[1],
            # As `gknet` sets it before it imports torch. Without threads of OpenBLAS, a fork is a whole copy.
            env={**os.environ, "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(_stop_server, server, ours)
    return ours


def _stop_server(server: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.close()
    server.wait(60)


def _serve(requests: socket.socket) -> list[str] | None:
    """Fork a child for each request. Return its arguments in the child, and None in this process at the end."""
    wakeup, alarm = socket.socketpair()
    for end in (wakeup, alarm):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, _do_nothing)
    signal.set_wakeup_fd(alarm.fileno())
    running: dict[int, int] = {}
    while True:
        readable = select.select([requests, wakeup], [], [])[0]
        if wakeup in readable:
            wakeup.recv(4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
                        os.write(running[pid], b"%d\n" % os.waitstatus_to_exitcode(status))
                    os.close(running.pop(pid))
        if requests in readable:
            message, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 3)
            if not message:
                signal.set_wakeup_fd(-1)
                for pid in running:  # what a failed test has left
                    os.kill(pid, signal.SIGKILL)
                return None
            status, *streams = descriptors
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for inherited in (requests, wakeup, alarm):
                    inherited.close()
                for inherited_status in (status, *running.values()):
                    os.close(inherited_status)
                return _become_command(json.loads(message), streams)
            running[pid] = status
            os.write(status, b"%d\n" % pid)
            for descriptor in streams:
                os.close(descriptor)


def _become_command(request: dict[str, object], streams: list[int]) -> list[str]:
    """Give this process the request's streams, folder, environment and a foreground process's signals."""
    arguments, cwd, env, closed = (request[name] for name in ("arguments", "cwd", "env", "closed"))
    assert isinstance(arguments, list)
    assert isinstance(env, dict)
    assert isinstance(closed, list)
    opened: list[IO[str] | None] = []
    for number, is_closed in zip((1, 2), closed, strict=True):
        if is_closed:
            os.close(number)
            opened.append(None)
        else:
            descriptor = streams.pop(0)
            os.dup2(descriptor, number)
            os.close(descriptor)
            opened.append(open(number, "w", closefd=False))  # noqa: SIM115
    sys.stdout, sys.stderr = opened  # None where it is closed, as in a new Python
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(str(cwd))
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["gknet", *arguments]
    return arguments


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle SIGCHLD, so that the wakeup descriptor gets a byte."""
    del number, frame


def main() -> None:
    import gknet.harmonizer
    import gknet.scene  # noqa: F401
    from backend.cli import main as command
    from backend.server import server  # noqa: F401

    gc.freeze()  # memory that no collection touches stays shared with the children
    arguments = _serve(socket.socket(fileno=int(sys.argv[1])))
    if arguments is not None:
        command(arguments)


if __name__ == "__main__":
    main()
