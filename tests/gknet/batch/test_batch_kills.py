"""Batches that are killed again and again, whose Ray worker is, and that are stopped."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from gknet.batch.journal import FOLDER
from gknet.batch.on_ray import AT_ONCE
from tests.gknet import many

PICTURES = 100
KILLS = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def begin(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """`gknet batch in …` in a session of its own."""
    command = [sys.executable, "-m", "backend", "batch", "in", *options]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, start_new_session=True)


def succeed(folder: Path, *options: str) -> None:
    assert begin(folder, *options).wait() == 0, (folder / "said.txt").read_text(encoding="utf-8")


def outputs(folder: Path) -> dict[str, int]:
    """What is there by its final name, and when it was written."""
    if not folder.exists():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != FOLDER}


def wait_for(enough: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not enough():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)


def frozen_at_work(process: subprocess.Popen[bytes]) -> psutil.Process:
    """A Ray worker that is stopped in the middle of a picture, so that it holds it until it is killed."""
    while True:
        assert process.poll() is None, "it ended before a worker was seen at work"
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if not is_at_work(child):
                    continue
                child.suspend()
                while child.status() != psutil.STATUS_STOPPED:
                    time.sleep(0.005)
                if is_at_work(child):  # still, now that it can no longer end
                    return child
                child.resume()
        time.sleep(0.005)


def is_at_work(process: psutil.Process) -> bool:
    """Ray names its processes for the method that they are in, and an idle worker for its class alone."""
    return "ray::Worker.harmonize_job" in " ".join(process.cmdline())


@pytest.fixture
def names(tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """So many JPEGs of at most a megapixel, with masks, in the folder `in`."""
    (tmp_path / "in").mkdir()
    return many.write(tmp_path / "in", request.param)


@pytest.mark.parametrize("names", [PICTURES], indirect=True, ids=["100 pictures"])
def test_a_batch_that_is_killed_again_and_again_loses_and_repeats_nothing(tmp_path: Path, names: list[str]) -> None:
    chance = random.Random()
    done: dict[str, int] = {}
    for kill in range(KILLS):
        left = PICTURES - len(done) - 25 * (KILLS - kill)  # so many may be made between the look and the kill
        wanted = len(done) + chance.randint(1, max(1, left // (KILLS - kill)))
        process = begin(tmp_path, "out")
        wait_for(lambda wanted=wanted: len(outputs(tmp_path / "out")) >= wanted, process)
        time.sleep(chance.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = outputs(tmp_path / "out")
        assert done.items() <= now.items(), "a picture was made again or lost"
        done = now
        for name in done:
            with Image.open(tmp_path / "out" / name) as picture:
                picture.load()  # raises if half of it is missing
    assert len(done) < PICTURES
    succeed(tmp_path, "out")
    now = outputs(tmp_path / "out")
    assert sorted(now) == names
    assert done.items() <= now.items()
    assert not (tmp_path / "out" / FOLDER / "unfinished").exists()
    succeed(tmp_path, "whole")
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="on one core there is one worker, and none to go on without it")
@pytest.mark.parametrize("names", [24], indirect=True, ids=["24 pictures"])
def test_ray_gives_the_same_bytes_though_a_worker_is_killed(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    process = begin(tmp_path, "spread", "--ray")

    wait_for(lambda: len(outputs(tmp_path / "spread")) >= 3, process)
    worker = frozen_at_work(process)
    # The others do what there is, so what is left in the end is what the frozen one holds.
    wait_for(lambda: len(outputs(tmp_path / "spread")) >= len(names) - AT_ONCE, process)
    time.sleep(1)
    before = outputs(tmp_path / "spread")
    held = set(names) - set(before)
    assert len(held) == AT_ONCE
    assert worker.status() == psutil.STATUS_STOPPED
    killed_ns = time.time_ns()
    worker.kill()
    assert process.wait() == 0, (tmp_path / "said.txt").read_text(encoding="utf-8")
    now = outputs(tmp_path / "spread")
    assert sorted(now) == names
    assert before.items() <= now.items()
    assert all(now[name] > killed_ns for name in held), "what it held was not made again"
    succeed(tmp_path, "here")
    for name in names:
        assert (tmp_path / "spread" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name


@pytest.mark.parametrize("names", [30], indirect=True, ids=["30 pictures"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=["Ctrl-C", "SIGHUP"])
def test_a_batch_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, names: list[str], number: signal.Signals, code: int
) -> None:
    process = begin(tmp_path, "out", "--report", "report.json")
    wait_for(lambda: len(outputs(tmp_path / "out")) >= 2, process)
    process.send_signal(number)
    assert process.wait() == code
    said = (tmp_path / "said.txt").read_text(encoding="utf-8")
    assert "run the same command to continue" in said
    done = outputs(tmp_path / "out")
    assert 2 <= len(done) < len(names)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["stopped"]
    assert report["counts"] == {"written": len(done), "not reached": len(names) - len(done)}
    succeed(tmp_path, "out")
    now = outputs(tmp_path / "out")
    assert sorted(now) == names
    assert done.items() <= now.items()
