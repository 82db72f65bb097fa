"""Checks of the running backend: its connection file, its folders, its port and its log."""

from __future__ import annotations

import errno
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backend.thin.connection import Address, find_connection_path, read_connection_file
from backend.thin.protocol import ThinError
from gknet.errors import HarmonizeError

from .finding import ERROR, FINE, WARNING, Finding

_ANSWER_S = 3.0
_TRIED = b"\0" * 65536
"""Bytes written to test for free disk space."""
_LOG_TAIL = 200_000
_LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ (ERROR|CRITICAL) (.*)")
_RECENT = timedelta(days=1)


def check_loopback() -> Iterator[Finding]:
    """Yield a finding on whether programs on this machine can connect to each other."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(_ANSWER_S)
            with socket.create_connection(server.getsockname(), timeout=_ANSWER_S):
                server.accept()[0].close()
    except OSError as error:
        yield Finding(
            "ports",
            ERROR,
            f"Programs cannot connect to each other on 127.0.0.1: {error.strerror or error}.",
            "Allow local connections in the firewall or the sandbox.",
        )
    else:
        yield Finding("ports", FINE, "Programs can connect to each other on 127.0.0.1.")


def check_folders() -> Iterator[Finding]:
    """Yield findings on whether the connection file and the log can be written."""
    try:
        path = find_connection_path()
    except ThinError as error:
        yield Finding("connection file", ERROR, error.message, error.hint)
        return
    yield _check_writable("connection folder", path.parent, ERROR, "or set GKNET_CONNECTION to another file.")
    try:
        from backend.server.journal import get_default_path
    except ImportError:
        return  # platformdirs is missing, which was reported before
    yield _check_writable(
        "log folder", get_default_path().parent, WARNING, "or choose another file with gknet serve --log FILE."
    )


def check_backend() -> Iterator[Finding]:
    """Yield findings on the connection file and the backend that it describes."""
    try:
        path = find_connection_path()
        address = read_connection_file(path)
    except ThinError as error:
        yield Finding("connection file", ERROR, error.message, error.hint)
        return
    try:
        from backend.server.connection import is_locked, name_holder
    except ImportError:
        return  # reported before
    try:
        has_backend = is_locked(path)
    except HarmonizeError as error:
        yield Finding("connection file", ERROR, error.message, error.hint)
        return
    if address is None:
        yield Finding("connection file", FINE, f"None at {path}: no backend is listening.")
        if has_backend:
            text = f"It is running{name_holder(path)} without a connection file, as when it starts or stops."
            yield Finding("backend", WARNING, text, "Check again in a moment. If it has none then, end that process.")
        else:
            yield Finding("backend", FINE, "Not running. Plug-ins and scripts start it when they need it.")
    else:
        yield _check_answer(path, address, has_backend)


def check_log() -> Iterator[Finding]:
    """Yield a finding on recent errors in the backend's log."""
    try:
        from backend.server.journal import get_default_path
    except ImportError:
        return
    path = get_default_path()
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        yield Finding("log", FINE, f"{path} does not exist yet.")
        return
    except OSError as error:
        yield Finding("log", WARNING, f"{path} cannot be read: {error.strerror or error}.", "Make it readable.")
        return
    errors = [found for line in lines if (found := _LOG_LINE.match(line))]
    recent = [found for found in errors if datetime.now() - datetime.fromisoformat(found[1]) < _RECENT]
    if not recent:
        yield Finding("log", FINE, f"{path}: no errors in the last 24 hours.")
        return
    last = "; ".join(f"{found[1]} {found[3]}" for found in recent[-3:])
    yield Finding(
        "log", WARNING, f"{len(recent)} errors in the last 24 hours. The most recent: {last}.", f"See {path}."
    )


def _check_answer(path: Path, address: Address, has_backend: bool) -> Finding:
    """Return a finding on the backend that a connection file describes."""
    try:
        from backend.server.connection import name_holder
        from backend.thin.conversation import Conversation
    except ImportError:
        return Finding("backend", WARNING, "It cannot be checked because msgpack is missing.")
    try:
        conversation = Conversation(address, ("gknet doctor", ""), timeout_s=_ANSWER_S)
        try:
            status, _ = conversation.ask("status", {}, timeout_s=_ANSWER_S)
        finally:
            conversation.close()
    except ThinError as error:
        if has_backend:
            text = f"It is running{name_holder(path)} but cannot be reached at port {address.port}: {error.message}"
            return Finding("backend", ERROR, text, "Stop it with `gknet stop` or end that process, and try again.")
        text = f"{path} is stale: its backend no longer runs at port {address.port}. "
        return Finding(
            "connection file", WARNING, text + error.message, "No action needed: the next backend replaces it."
        )
    text = f"{status['version']} runs on {status['device']}, port {address.port}, process {status['pid']}."
    try:
        ours = version("gknet-harmonize")
    except PackageNotFoundError:
        ours = status["version"]
    if status["version"] != ours:
        return Finding("backend", WARNING, f"{text} This installation is {ours}.", "Stop it with `gknet stop`.")
    return Finding("backend", FINE, text)


def _check_writable(subject: str, folder: Path, state: str, otherwise: str) -> Finding:
    """Return a finding on whether a folder, or the parent it would be created in, can be written."""
    # Path.exists raises if a parent folder cannot be read.
    there = next(one for one in (folder, *folder.parents) if os.access(one, os.F_OK))
    try:
        with tempfile.TemporaryFile(dir=there, buffering=0) as file:
            written = file.write(_TRIED)
            if written != len(_TRIED):
                raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Finding(subject, state, f"The disk with {folder} is full.", f"Free some disk space, {otherwise}")
        text = f"{folder} is not writable: {error.strerror or error}."
        return Finding(subject, state, text, f"Make it writable, {otherwise}")
    return Finding(subject, FINE, f"{folder} is writable.")
