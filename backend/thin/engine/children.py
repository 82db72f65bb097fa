"""Programs that the installer runs. They can be cancelled.

When the installer is killed, they end too, except on Windows those that aren't in Python.
"""

from __future__ import annotations

import locale
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from .attempt import POLL_S, Attempt

# Standard input is a pipe that only the installer holds open: its end means that the installer is gone. The program is
# the leader of its group, so that its own children end with it.
_WATCHED = """if True:
    import os, runpy, signal, sys, threading
    def watch():
        os.read(0, 1)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(70)
    threading.Thread(target=watch, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# The same for a program that isn't Python's, by a child of its own. That is a second shell, whose command line doesn't
# name the program's folder, since a folder is in use while a command line names it.
_WATCHED_BY_SHELL = """exec 3<&0
/bin/sh -c 'read -r _; kill -KILL 0' <&3 >/dev/null 2>&1 &
exec 3<&-
exec "$@" </dev/null
"""
_LONGEST_S = 3600.0
_ON_POLL_S = 0.25


class ProgramError(Exception):
    """A program failed.   lines: its output.   status: its exit status, None if it took too long."""

    def __init__(self, lines: Sequence[str], status: int | None) -> None:
        super().__init__(status)
        self.lines = list(lines)
        self.status = status


def build_module_command(python: Path | str, module: str, *words: str, options: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs a module like `python -I -m`, and ends when the installer does."""
    return [str(python), "-I", *options, "-c", _WATCHED, module, *words]


def build_program_command(program: Path, *words: str) -> list[str]:
    """Return the command line that runs a program that isn't Python's, and ends when the installer does.

    On Windows, it runs to completion.
    """
    if sys.platform == "win32":
        return [str(program), *words]
    return ["/bin/sh", "-c", _WATCHED_BY_SHELL, "sh", str(program), *words]


def run_program(
    words: Sequence[str],
    attempt: Attempt,
    environment: Mapping[str, str],
    *,
    on_poll: Callable[[Sequence[str]], object] = lambda _: None,
    timeout_s: float = _LONGEST_S,
    encoding: str = "",
    complaints: list[str] | None = None,
) -> list[str]:
    """Run a program and return the lines of its output. They are logged.

    on_poll: called about four times a second with the lines so far.   encoding: of its output; "" for the system's.
    complaints: takes the lines of standard error, which are otherwise a part of the output.
    Raise ProgramError if it fails or takes longer than `timeout_s`, ThinError (`cancelled`), and OSError if it can't
    start.
    """
    attempt.log("$ " + subprocess.list2cmdline(["…" if "\n" in word else word for word in words]))
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    child = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if complaints is None else subprocess.PIPE,
        cwd=Path(words[0]).anchor or Path.home().anchor,
        env=dict(environment),
        **options,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    lines: list[str] = []
    readers = [_Reader(child.stdout, encoding or _get_system_encoding(), lines)]
    if child.stderr is not None and complaints is not None:
        readers.append(_Reader(child.stderr, encoding or _get_system_encoding(), complaints))
    deadline, next_poll = time.monotonic() + timeout_s, 0.0
    try:
        while child.poll() is None:
            _take_lines(readers, attempt)
            if time.monotonic() >= next_poll:
                on_poll(lines)
                next_poll = time.monotonic() + _ON_POLL_S
            if time.monotonic() > deadline:
                raise ProgramError(lines, None)
            attempt.check()
            with suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
    finally:
        if child.poll() is None:
            _end_tree(child)
        for reader in readers:
            reader.thread.join(1.0)
        with suppress(OSError):
            child.stdin.close()
        for reader in readers:
            if not reader.thread.is_alive():  # closing waits for a reader
                reader.stream.close()
    _take_lines(readers, attempt)
    on_poll(lines)
    if child.returncode:
        raise ProgramError(lines, child.returncode)
    return lines


class _Reader:
    """Reads a stream on a thread of its own.   lines: where `_take_lines` puts what has arrived."""

    def __init__(self, stream: IO[bytes], encoding: str, lines: list[str]) -> None:
        self.stream = stream
        self.lines = lines
        self.arriving: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._encoding = encoding
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with suppress(ValueError, OSError):  # closed
            for line in self.stream:
                self.arriving.put(line.decode(self._encoding, "replace").rstrip())


def _take_lines(readers: Sequence[_Reader], attempt: Attempt) -> None:
    for reader in readers:
        while not reader.arriving.empty():
            reader.lines.append(reader.arriving.get())
            attempt.log("  " + reader.lines[-1])


def _end_tree(child: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children, and wait for its end."""
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(child.pid)],
            capture_output=True,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        child.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _get_system_encoding() -> str:
    return locale.getpreferredencoding(False)
