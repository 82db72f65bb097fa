"""Killed, cancelled from outside, and on a full disk: the next attempt works and leaves nothing behind."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.thin.engine import __main__ as program
from backend.thin.engine import installer
from backend.thin.engine.attempt import Attempt
from backend.thin.engine.environment import make_environment
from backend.thin.engine.installer import install_engine, is_in_use, remove_engine
from backend.thin.engine.switch import read_current
from backend.thin.engine.wheel import open_wheel
from backend.thin.protocol import ThinError

from .conftest import Place, build_project_wheel

pytestmark = pytest.mark.slow

LONG_S = 120.0


def start(place: Place, *words: str) -> subprocess.Popen[str]:
    words = words or ("install", "--wheel", str(place.wheel.path), "--python", sys.executable)
    return subprocess.Popen(
        [sys.executable, program.__file__, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=place.folder,
    )


def run(place: Place, *words: str) -> tuple[int, str]:
    """Exit status and output of a command that ends by itself."""
    with start(place, *words) as running:
        out, _ = running.communicate(timeout=LONG_S)
    return running.returncode, out


@pytest.fixture
def real_check_of_space() -> None:
    """A process of its own needs the space that a real engine takes."""
    if shutil.disk_usage("/").free < 3e9:
        pytest.skip("too little disk space")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.usefixtures("real_check_of_space")
def test_at_five_random_moments(place: Place, how: signal.Signals) -> None:
    started = time.monotonic()
    assert run(place)[0] == 0
    longest = time.monotonic() - started
    assert run(place, "remove") == (0, "  0%  Removing the engine…\nThe engine was removed.\n")
    old = install_engine(place.wish(open_wheel(build_project_wheel(place.folder / "old", "0.0.9"))), Attempt())
    for moment in sorted(random.Random(int(how)).uniform(0.05, 0.9) * longest for _ in range(5)):
        with start(place) as running:
            time.sleep(moment)
            running.send_signal(how)
            out, _ = running.communicate(timeout=LONG_S)
        if running.returncode:
            assert read_current(place.home) == old
        if how == signal.SIGINT and running.returncode:
            assert running.returncode in (130, -signal.SIGINT), out
            assert place.list() <= {"0.0.9", "current.json"}
        deadline = time.monotonic() + 5
        while any(is_in_use(path) for path in place.home.glob("0.1.0-*")):  # children end with the installer
            assert time.monotonic() < deadline
            time.sleep(0.05)
    code, out = run(place)
    assert code == 0, out
    assert place.list() == {"0.1.0", "current.json"}
    assert run(place, "remove") == (0, "  0%  Removing the engine…\nThe engine was removed.\n")
    assert not place.home.parent.exists()


@pytest.mark.parametrize("has_python", [True, False])
@pytest.mark.usefixtures("real_check_of_space")
def test_an_installation_whose_output_nobody_reads_ends_as_ever(place: Place, has_python: bool) -> None:
    python = sys.executable if has_python else "/nonexistent/python"
    words = (sys.executable, program.__file__, "install", "--wheel", str(place.wheel.path), "--python", python)
    for lines in (0, 1):
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            for _ in range(lines):
                running.stdout.readline()
            running.stdout.close()
            complaints = running.stderr.read()
            assert running.wait(LONG_S) == (0 if has_python else 2)
        assert [line.partition(" ")[0] for line in complaints.splitlines()] == ([] if has_python else ["engine:"] * 2)
        assert (read_current(place.home) is not None) == has_python
        if has_python:
            with start(place, "remove") as running:
                assert running.stdout is not None
                running.stdout.close()
                assert running.wait(LONG_S) == 0
            assert not place.home.exists()
    with start(place, *words[2:]) as running:  # nor its errors
        assert running.stdout is not None
        running.stdout.close()
        assert running.wait(LONG_S) == (0 if has_python else 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(folder)], check=False).returncode:
        pytest.skip("needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_disk_that_becomes_full(place: Place, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(small_disk))
    place.home = small_disk / "gknet" / "engine"
    monkeypatch.setattr(installer, "make_environment", make_environment)
    with (small_disk / "filler").open("wb") as filler:
        filler.write(bytes(shutil.disk_usage(small_disk).free - 16_000_000))
    with pytest.raises(ThinError, match=r"disk .*is full") as caught:
        install_engine(place.wish(), Attempt())
    assert "Free some disk space" in caught.value.hint
    assert place.list() <= {"downloads"}
    (small_disk / "filler").unlink()
    install_engine(place.wish(), Attempt())
    assert place.list() == {"0.1.0", "current.json"}


def test_on_a_disk_that_is_read_only(place: Place, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(small_disk))
    place.home = small_disk / "gknet" / "engine"
    engine = install_engine(place.wish(), Attempt())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for act in (lambda: install_engine(place.wish(), Attempt()), lambda: remove_engine(Attempt())):
        with pytest.raises(ThinError, match=r"can't be written: Read-only file system") as caught:
            act()
        assert "writable" in caught.value.hint
    assert read_current(place.home) == engine


def test_the_real_space_is_checked_first(place: Place, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(small_disk))
    code, out = run(place)
    assert code == 2
    assert "MB are free" in out
    assert place.index.asked == []


def test_the_command_reports_status_in_json(place: Place) -> None:
    _, out = run(place, "status", "--json")
    assert json.loads(out)["engine"] is None
    assert not (place.folder / "data").exists()
