"""The command's output: nobody reads it, or its disk is full."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.thin.engine import __main__ as program
from backend.thin.engine import command
from backend.thin.engine.switch import CURRENT

from .conftest import build_project_wheel

COMMANDS = ("status", "status --json", "remove", "--help", "install --help")
LONG_S = 60.0


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's first words, for a home with something to remove."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # Python itself writes once more when it exits
    (tmp_path / "gknet" / "engine" / "downloads").mkdir(parents=True)
    return [sys.executable, program.__file__]


@pytest.mark.integration
@pytest.mark.parametrize("given", COMMANDS)
def test_a_reader_that_closes_early_is_no_error(words: list[str], given: str) -> None:
    with subprocess.Popen(
        [*words, *given.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        _, complaints = running.communicate(timeout=LONG_S)
    assert (running.returncode, complaints) == (0, "")


@pytest.mark.integration
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("given", COMMANDS)
def test_a_full_disk_behind_the_output_is_reported(words: list[str], tmp_path: Path, given: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*words, *given.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=LONG_S
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"engine: Standard output can't be written: {os.strerror(errno.ENOSPC)}. "
        "Free some disk space, or write elsewhere.\n"
    )
    assert (tmp_path / "gknet" / "engine" / "downloads").exists()


@pytest.mark.integration
def test_a_record_that_is_nested_too_deeply_is_a_problem(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "gknet" / "engine" / CURRENT).write_text("[" * 100_000, encoding="utf-8")
    done = subprocess.run([*words, "status", "--json"], capture_output=True, text=True, check=True, timeout=LONG_S)
    assert f"{CURRENT} can't be read" in json.loads(done.stdout)["problem"]


@pytest.mark.integration
def test_the_log_is_named_only_if_there_is_one(words: list[str], tmp_path: Path) -> None:
    wheel = build_project_wheel(tmp_path)
    wheel.write_bytes(b"")

    def fail(*options: str) -> list[str]:
        done = subprocess.run([*words, "install", *options], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        return done.stderr.splitlines()

    assert len(fail("--offline", "/nonexistent")) == 1
    assert len(fail("--wheel", "/nonexistent")) == 1
    _, named = fail("--wheel", str(wheel))
    log = tmp_path / "gknet" / "engine" / "install.log"
    assert named == f"engine: The log is {log}"
    assert "damaged" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("platform", "number", "is_closed"),
    [
        ("linux", errno.EPIPE, True),
        ("linux", errno.EINVAL, False),
        ("win32", errno.EPIPE, True),
        ("win32", errno.EINVAL, True),
        ("win32", errno.ENOSPC, False),
    ],
)
def test_windows_has_two_errors_for_a_closed_pipe(
    monkeypatch: pytest.MonkeyPatch, platform: str, number: int, is_closed: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert command._is_closed_pipe(OSError(number, "")) == is_closed
