"""`gknet serve`, `status` and `stop`, as they are typed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.cli import main
from backend.thin import client
from tests.backend.real_backend import Backend
from tests.light_start import run_lines
from tests.preloaded import Process

pytestmark = pytest.mark.integration


def gknet(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = Process(arguments, env={**os.environ, **environment})
    out, err = process.communicate(timeout=120)
    assert process.returncode is not None
    return process.returncode, out, err


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`gknet` in this process."""

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(ended.value.code or 0), *capfd.readouterr()

    return command


def test_status_and_stop_speak_with_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(tmp_path)
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))
    code, out, err = gknet("status")
    assert (code, err) == (0, "")
    for word in ("state", "cpu", str(backend.process.pid)):
        assert word in out
    backend.path.unlink()
    assert gknet("stop") == (0, "The backend has stopped.\n", "")
    out, err = backend.process.communicate(timeout=60)
    assert (backend.process.returncode, err) == (0, "")
    assert gknet("status") == (0, "The backend is not running.\n", "")
    assert gknet("stop") == (0, "The backend is not running.\n", "")


def test_a_backend_that_does_not_answer_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Callable[..., tuple[int, str, str]]
) -> None:
    backend = Backend(tmp_path)
    monkeypatch.setenv("GKNET_CONNECTION", str(backend.path))
    monkeypatch.setattr(client, "HELLO_S", 1.0)
    backend.process.send_signal(signal.SIGSTOP)
    try:
        code, out, err = here("status")
        backend.path.chmod(0o644)
        open_code, open_out, open_err = gknet("status")
    finally:
        backend.process.send_signal(signal.SIGCONT)
    assert (code, out) == (2, "")
    assert err.startswith(f"gknet: The backend is running (process {backend.process.pid}) but does not answer.")
    assert "end that process" in err
    assert err.count("\n") == 1
    assert (open_code, open_out) == (2, "")
    assert "other users can read" in open_err
    backend.end()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--idle-minutes", "-1"], "idle time"),
        (["--idle-minutes", "nan"], "idle time"),
        (["--idle-minutes", "soon"], "--idle-minutes"),
        (["--device", "abacus"], "abacus"),
        (["--port", "80"], "--port"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, arguments: list[str], word: str) -> None:
    code, out, err = gknet("serve", *arguments, GKNET_CONNECTION=str(tmp_path / "backend.json"))
    assert (code, out) == (2, "")
    assert err.startswith("gknet: ")
    assert err.count("\n") == 1
    assert word in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "backend.json"
    code, out, err = gknet("serve", "--log", str(tmp_path / "log"), GKNET_CONNECTION=str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"gknet: The folder {path.parent} cannot be used")
    assert "GKNET_CONNECTION" in err
    assert err.count("\n") == 1


def test_a_connection_file_with_an_impossible_name_is_refused(tmp_path: Path) -> None:
    code, out, err = gknet("serve", GKNET_CONNECTION=str(tmp_path / ("x" * 300)))
    assert (code, out) == (2, "")
    assert err.startswith("gknet: The connection file ")
    assert "its name is too long" in err


def test_help_loads_nothing_heavy() -> None:
    lines = ["--help", "serve --help", "harmonize --help", "--version"]
    overview, *_ = run_lines("backend.cli", lines, "torch numpy zmq pyvips PIL msgpack psutil")
    for command in ("harmonize", "demo", "info", "serve", "status", "stop"):
        assert command in overview
