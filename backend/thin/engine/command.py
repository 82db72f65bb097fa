"""The commands `install`, `status` and `remove`, for administrators and tests."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from .. import installed
from ..protocol import CANCELLED, ThinError
from .attempt import Attempt, Progress
from .environment import Sources
from .failures import explain_os_errors, make_error
from .installer import Wishes, install_engine, remove_engine
from .sizes import estimate_size, format_bytes, measure_folder
from .switch import CPU, CUDA
from .wheel import Wheel, find_wheel, open_wheel

_SHOW_S = 5.0
"""Seconds between two lines with the bytes of the same download."""


def main(words: Sequence[str]) -> int:
    """Run a command. Return 0, also if nobody reads what it prints, 2 after printing an error, or 130 after Ctrl+C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    attempt = Attempt(_Printer().show)
    try:
        options = _build_parser().parse_args(words)
        if options.command == "install":
            _install(options, attempt)
        elif options.command == "remove":
            was_there = remove_engine(attempt)
            _say("The engine was removed." if was_there else "No engine is installed.")
        else:
            _print_status(as_json=options.json)
    except KeyboardInterrupt:
        _complain("Cancelled.")
        return 130
    except ThinError as error:
        _complain(str(error))
        if attempt.log_path is not None and error.code != CANCELLED:
            _complain(f"The log is {attempt.log_path}")
        return 2
    return 0


def describe_status() -> dict[str, object]:
    """Return the status: which command the plug-ins use and why, and the installed and the available engine.

    `used` (words or None), `why`, `engine` (None, or `version`, `build`, `folder`, `bytes`), `problem` (a text or ""),
    `available` (the version of the wheel that can be installed, or None), and `is_update_available`.
    """
    problem = ""
    try:
        engine = installed.find_engine()
    except ThinError as error:
        engine, problem = None, str(error)
    try:
        choice = installed.choose_command()
    except ThinError as error:
        choice, problem = None, problem or str(error)
    try:
        wheel = find_wheel()
    except ThinError as error:
        wheel, problem = None, problem or str(error)
    return {
        "used": choice.words if choice is not None else None,
        "why": choice.reason if choice is not None else "",
        "engine": None
        if engine is None
        else {
            "version": engine.version,
            "build": engine.build,
            "folder": str(engine.path),
            "bytes": measure_folder(engine.path),
        },
        "problem": problem,
        "available": wheel.version if wheel is not None else None,
        "is_update_available": engine is not None and wheel is not None and wheel.is_newer_than(engine.version),
    }


def _install(options: argparse.Namespace, attempt: Attempt) -> None:
    sources = Sources(options.offline and options.offline.absolute(), CUDA if options.cuda else CPU)
    if sources.offline is not None:
        with explain_os_errors(sources.offline):
            if not sources.offline.is_dir():
                raise make_error(f"{sources.offline} is not a folder.", "Choose the folder with the wheels.")
    wishes = Wishes(_choose_wheel(options, sources), sources, options.python and options.python.absolute())
    if sources.offline is None:
        size = estimate_size(sources.build)
        _say(f"Up to {format_bytes(size.download)} to download, {format_bytes(size.disk)} on the disk.")
    start = time.monotonic()
    engine = install_engine(wishes, attempt)
    passed = time.monotonic() - start
    _say(f"Engine {engine.version} is installed in {engine.path} ({format_bytes(measure_folder(engine.path))}).")
    _say(f"It took {passed:.0f} s.")


def _choose_wheel(options: argparse.Namespace, sources: Sources) -> Wheel:
    """Return the named wheel, or the one of the archive or of the offline folder."""
    if options.wheel is not None:
        return open_wheel(options.wheel.absolute())
    wheel = find_wheel()
    if wheel is None and sources.offline is not None:
        wheel = find_wheel(sources.offline)
    if wheel is None:
        raise make_error("This copy of the plug-in contains no wheel.", "Name one with --wheel FILE.")
    return wheel


def _print_status(*, as_json: bool) -> None:
    status = describe_status()
    if as_json:
        _say(json.dumps(status, indent=2))
        return
    used = status["used"]
    missing = "Used: none" if status["problem"] else "Used: none. `install` installs an engine."
    _say(f"Used: {' '.join(used)}" if isinstance(used, list) else missing)
    if status["why"]:
        _say(f"Why: {status['why']}")
    engine = status["engine"]
    if isinstance(engine, dict):
        size = format_bytes(engine["bytes"])
        _say(f"Engine: {engine['version']} ({engine['build']}), {engine['folder']}, {size}")
    else:
        _say("Engine: not installed")
    if status["problem"]:
        _say(f"Problem: {status['problem']}")
    if status["available"]:
        note = ", newer than the installed one" if status["is_update_available"] else ""
        _say(f"Available: {status['available']}{note}")


class _Printer:
    """Prints progress, one line for each text and a few for the bytes of a long download."""

    def __init__(self) -> None:
        self._text = ""
        self._shown_at = 0.0

    def show(self, progress: Progress) -> None:
        """Print a line if it says something new."""
        now = time.monotonic()
        is_new = progress.text != self._text
        if not is_new and (now - self._shown_at < _SHOW_S or progress.bytes_total is None):
            return
        self._text, self._shown_at = progress.text, now
        share = f" {format_bytes(progress.bytes_done)}" if progress.bytes_total and progress.bytes_done else ""
        _say(f"{progress.fraction:4.0%}  {progress.text}{share}")


def _say(text: str) -> None:
    """Print a line, unless nobody reads any more: what runs goes on then. Raise ThinError if that fails otherwise."""
    try:
        print(text)
    except OSError as error:
        _discard(sys.stdout)
        if not _is_closed_pipe(error):
            raise make_error(
                f"Standard output can't be written: {error.strerror}.", "Free some disk space, or write elsewhere."
            ) from error


def _complain(text: str) -> None:
    """Print a line of an error, if possible: there is nowhere else to tell it."""
    try:
        print(f"engine: {text}", file=sys.stderr)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Discard what a stream still holds and gets. Otherwise Python would fail to write it again when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _is_closed_pipe(error: OSError) -> bool:
    # Windows reports some closed pipes as an invalid argument.
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


class _Parser(argparse.ArgumentParser):
    """A parser whose help is printed as everything else is. Its own way of printing ignores errors."""

    def print_help(self, _: Any = None) -> None:
        _say(self.format_help().rstrip())


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="engine", description="Install or remove the engine of GKNet Harmonize.")
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="install or update the engine")
    install.add_argument("--wheel", type=Path, help="the wheel of GKNet Harmonize; default: the one in the archive")
    install.add_argument("--offline", type=Path, metavar="DIR", help="take all packages from a folder of wheels")
    install.add_argument("--python", type=Path, metavar="FILE", help="the Python to use, 3.11 to 3.14")
    install.add_argument("--cuda", action="store_true", help="install PyTorch's CUDA build, for NVIDIA cards")
    status = commands.add_parser("status", help="show which engine the plug-ins use, and why")
    status.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("remove", help="remove the engine")
    return parser
