"""The connection file: where it is, what it may be; and the start of a backend that is missing."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.windows import Windows

from backend.thin import connection, installed
from backend.thin.protocol import BACKEND_UNAVAILABLE, CANCELLED, ThinError

pytestmark = pytest.mark.integration

LONG_S = 30.0
Pids = Callable[[], list[int]]
GOOD = {"host": "127.0.0.1", "port": 4711, "key": "a1" * 32, "proof_key": "B2" * 32, "pid": 1, "device": "cpu"}


def failure(work: Callable[[], object]) -> ThinError:
    with pytest.raises(ThinError) as caught:
        work()
    return caught.value


def write(path: Path, content: object) -> None:
    path.touch(0o600)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def of_platformdirs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it falls back
        return Path(platformdirs.user_runtime_dir("gknet"))


# Where it is


def test_the_environment_comes_first_then_the_record_then_the_runtime_folder(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.INSTALLED.write_text(json.dumps({"command": ["x"], "connection": "/recorded/here.json"}))
    assert connection.find_connection_path() == path
    monkeypatch.setenv(connection.VARIABLE, "")
    assert connection.find_connection_path() == Path("/recorded/here.json")
    installed.INSTALLED.write_text(json.dumps({"connection": None}))
    assert connection.find_connection_path() == connection.find_runtime_folder() / "backend.json"
    installed.INSTALLED.unlink()
    assert connection.find_connection_path() == connection.find_runtime_folder() / "backend.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(connection.VARIABLE, "relative.json")
    assert connection.find_connection_path() == tmp_path / "relative.json"


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("name", "reason"), [("/tmp/" + "x" * 300, "too long"), ("/tmp" + "/y" * 5000, "too long"), ("/a\0b", "NUL")]
)
def test_a_name_that_no_file_can_have_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    monkeypatch.delenv(connection.VARIABLE)
    installed.INSTALLED.write_text(json.dumps({"connection": name}))
    error = failure(connection.find_connection_path)
    assert error.code == BACKEND_UNAVAILABLE
    assert reason in error.message
    assert "GKNET_CONNECTION" in error.hint


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    "record",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"connection": 5}',
        b'{"command": "gknet serve"}',
        b'{"command": []}',
        b'{"command": [1]}',
    ],
)
def test_a_damaged_record_is_named(monkeypatch: pytest.MonkeyPatch, record: bytes) -> None:
    monkeypatch.delenv(connection.VARIABLE)
    installed.INSTALLED.write_bytes(record)
    error = failure(connection.find_connection_path)
    assert error.code == BACKEND_UNAVAILABLE
    assert "gknet install" in error.hint
    assert str(installed.INSTALLED) in error.message


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o500])
def test_a_session_folder_is_judged_as_platformdirs_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    session = tmp_path / "session"
    session.mkdir()
    session.chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    assert connection.find_runtime_folder() == of_platformdirs()
    assert (connection.find_runtime_folder() == session / "gknet") == (mode == 0o700)


@pytest.mark.parametrize("session", [None, "", "relative", "missing", "file", "link"])
def test_without_a_usable_session_folder_it_is_where_platformdirs_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: str | None
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "private").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    if session is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        absolute = session in ("missing", "file", "link")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / session) if absolute else session)
    assert connection.find_runtime_folder() == of_platformdirs()


def test_on_macos_and_windows_it_is_where_platformdirs_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", "C:\\Local")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert connection.find_runtime_folder() == Path(MacOS("gknet").user_runtime_dir)
    monkeypatch.setattr(sys, "platform", "win32")
    assert str(connection.find_runtime_folder()) == Windows("gknet").user_runtime_dir.replace(
        "C:\\Local", str(tmp_path / "Local")
    )
    monkeypatch.delenv("LOCALAPPDATA")
    assert connection.find_runtime_folder() == tmp_path / "AppData/Local/Temp/gknet/gknet"


# What it may be


def test_a_good_file_is_read_and_its_keys_stay_out_of_its_repr(path: Path) -> None:
    write(path, GOOD)
    address = connection.read_connection_file(path)
    assert address == connection.Address("127.0.0.1", 4711, b"a1" * 32, b"\xb2" * 32)
    assert "a1a1" not in repr(address)
    assert "b2" not in repr(address).lower()


def test_no_file_is_no_error(path: Path) -> None:
    assert connection.read_connection_file(path) is None
    assert connection.read_connection_file(path.parent / "no folder" / "backend.json") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])
def test_a_file_that_others_may_use_is_refused(path: Path, mode: int) -> None:
    write(path, GOOD)
    path.chmod(mode)
    error = failure(lambda: connection.read_connection_file(path))
    assert error.code == BACKEND_UNAVAILABLE
    assert str(path) in error.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    write(path, GOOD)
    os.chown(path, 12345, -1)
    assert "another user" in failure(lambda: connection.read_connection_file(path)).message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 50_000,
        b"[1]",
        b'"text"',
        b"null",
        b" " * 70_000 + json.dumps(GOOD).encode(),
        {**GOOD, "host": "192.0.2.1"},
        {**GOOD, "host": "example.org"},
        {**GOOD, "host": None},
        {**GOOD, "host": 0x7F000001},
        {**GOOD, "port": 0},
        {**GOOD, "port": 65536},
        {**GOOD, "port": "4711"},
        {**GOOD, "port": True},
        {**GOOD, "key": "a1" * 31},
        {**GOOD, "key": "a1" * 32 + "\n"},
        {**GOOD, "key": None},
        {**GOOD, "proof_key": "xy" * 32},
        {**GOOD, "proof_key": [1]},
        {name: value for name, value in GOOD.items() if name != "proof_key"},
    ],
)
def test_a_file_that_is_no_connection_file_is_refused(path: Path, content: object) -> None:
    write(path, content)
    error = failure(lambda: connection.read_connection_file(path))
    assert error.code == BACKEND_UNAVAILABLE
    assert error.hint


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(os.devnull)])
def test_what_is_not_a_regular_file_is_refused_at_once(path: Path, put: Callable[[Path], None]) -> None:
    put(path)
    error = failure(lambda: connection.read_connection_file(path))
    assert error.code == BACKEND_UNAVAILABLE
    assert error.hint == "Delete the file, or set GKNET_CONNECTION to another one. Then try again."


# The start


def test_a_command_that_does_not_exist_is_named(path: Path) -> None:
    installed.INSTALLED.write_text(json.dumps({"command": ["/no/such/gknet", "serve"]}))
    error = failure(lambda: connection.start_backend(lambda: None, path, timeout_s=LONG_S))
    assert error.code == BACKEND_UNAVAILABLE
    assert "/no/such/gknet" in error.message


def test_without_a_record_it_is_gknet_serve(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "said"
    command = tmp_path / "gknet"
    command.write_text(f'#!/bin/sh\necho "$@" "$GKNET_CONNECTION" > {said}.new\nmv {said}.new {said}\n')
    command.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert connection.start_backend(
        lambda: said.read_text().split() if said.exists() else None, path, timeout_s=LONG_S
    ) == [
        "serve",
        str(path),
    ]


def test_a_backend_that_ends_is_given_up_soon_and_the_command_is_told(path: Path, install: Callable[..., None]) -> None:
    install("dies")
    start = time.monotonic()
    error = failure(lambda: connection.start_backend(lambda: None, path, timeout_s=LONG_S))
    assert error.code == BACKEND_UNAVAILABLE
    assert "status 3. I die as I was told to." in error.message
    assert "fake_backend.py dies" in error.hint
    assert time.monotonic() - start < 15.0


def test_a_backend_that_never_listens_is_given_up_in_time(path: Path, install: Callable[..., None], pids: Pids) -> None:
    install("never")
    error = failure(lambda: connection.start_backend(lambda: None, path, timeout_s=0.5))
    assert error.code == BACKEND_UNAVAILABLE
    assert "0.5 s" in error.message
    pids()


def test_a_start_can_be_cancelled(path: Path, install: Callable[..., None], pids: Pids) -> None:
    install("never")
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) == 3

    assert (
        failure(lambda: connection.start_backend(lambda: None, path, timeout_s=LONG_S, is_cancelled=cancelled)).code
        == CANCELLED
    )
    pids()


def test_what_answers_after_our_own_gave_way_is_taken(path: Path, install: Callable[..., None]) -> None:
    """Two clients start at once; the second one's backend ends, and the first one's answers a little later."""
    install("dies")
    looks: list[Any] = []

    def attempt() -> str | None:
        looks.append(path.with_name("pids").exists())
        return "the other" if looks.count(True) == 5 else None

    assert connection.start_backend(attempt, path, timeout_s=LONG_S) == "the other"
