"""The connection file and its lock, within one process."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend import BackendUnavailableError
from backend.server import connection
from backend.server.connection import Connection
from backend.thin.connection import read_connection_file
from backend.thin.protocol import ThinError


def made(port: int = 4711) -> Connection:
    return Connection(port=port, device="cpu", key=connection.create_key(), proof_key=connection.create_key())


def test_a_published_file_is_what_clients_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "backend.json"
    with connection.hold_lock(path):
        assert connection.is_locked(path)
        ours = made()
        connection.write_connection_file(path, ours)
        address = read_connection_file(path)
        assert address is not None
        assert (address.host, address.port) == ("127.0.0.1", 4711)
        assert (address.key.decode(), address.proof_key.hex()) == (ours.key, ours.proof_key)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in list(path.parents)[:2]] == [0o700, 0o700]
        connection.remove_connection_file(path, ours)
        assert not path.exists()
    assert not connection.is_locked(path)


def test_another_ones_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "backend.json"
    connection.write_connection_file(path, made(1))
    connection.remove_connection_file(path, made(2))
    assert json.loads(path.read_text())["port"] == 1
    path.write_text("no JSON")
    connection.remove_connection_file(path, made(2))
    assert path.exists()


def test_secrets_are_new_each_time_and_not_shown() -> None:
    ours = made()
    assert len({ours.key, ours.proof_key, made().key}) == 3
    assert ours.key not in repr(ours)
    assert ours.proof_key not in repr(ours)


def test_the_lock_is_held_by_one_backend(tmp_path: Path) -> None:
    path = tmp_path / "backend.json"
    with connection.hold_lock(path):
        connection.write_connection_file(path, made())
        with pytest.raises(BackendUnavailableError, match="already running"), connection.hold_lock(path):
            pass
        assert path.exists()
        assert connection.name_holder(path) == f" (process {os.getpid()})"
    assert connection.name_holder(path) == ""
    with connection.hold_lock(path):
        assert not path.exists()  # the first one's file, left behind, is cleared away


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(BackendUnavailableError, match="file cannot be used"),
        connection.hold_lock(tmp_path / "file" / "backend.json"),
    ):
        pass
    (tmp_path / "backend.json").mkdir()
    with (
        pytest.raises(BackendUnavailableError, match=r"backend\.json cannot be used: it is not a regular file"),
        connection.hold_lock(tmp_path / "backend.json"),
    ):
        pass
    with pytest.raises(BackendUnavailableError):
        connection.write_connection_file(tmp_path / "backend.json", made())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backend.json", "file"]


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("stands_there", [a_folder, a_pipe])
def test_what_stands_in_the_place_of_a_file_is_named_at_once(
    tmp_path: Path, stands_there: Callable[[Path], None]
) -> None:
    start = time.monotonic()
    path, lock = tmp_path / "backend.json", tmp_path / "other.json.lock"
    for one in (path, lock):
        stands_there(one)
    with pytest.raises(ThinError, match=rf"{path} cannot be used"):
        read_connection_file(path)
    with pytest.raises(BackendUnavailableError, match=rf"{path} cannot be used"), connection.hold_lock(path):
        pass
    with pytest.raises(BackendUnavailableError, match=rf"{path} cannot be used"):
        connection.write_connection_file(path, made())
    connection.remove_connection_file(path, made())
    with pytest.raises(BackendUnavailableError, match=rf"{lock} cannot be used: it is not a regular file"):
        connection.is_locked(tmp_path / "other.json")
    with (
        pytest.raises(BackendUnavailableError, match=rf"{lock} cannot be used: it is not a regular file"),
        connection.hold_lock(tmp_path / "other.json"),
    ):
        pass
    assert path.exists()
    assert time.monotonic() - start < 5


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    assert not connection.is_locked(tmp_path / "nowhere" / "backend.json")
    assert not connection.is_locked(tmp_path / "backend.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_folder_in_which_no_file_can_be_created_is_named_at_once() -> None:
    start = time.monotonic()
    with (
        pytest.raises(BackendUnavailableError, match="The folder /proc cannot be used"),
        connection.hold_lock(Path("/proc/backend.json")),
    ):
        pass
    assert time.monotonic() - start < 5


def test_a_name_too_long_for_a_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="cannot be used"):
        connection.is_locked(tmp_path / ("x" * 252))
