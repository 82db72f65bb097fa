"""Many clients at once, some of which die in the middle of what they ask for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from backend import Client
from tests.backend.real_backend import Backend, await_that

pytestmark = pytest.mark.integration

CLIENTS = 8
REQUESTS = 100
KILLED = 20
"""One after another, each once it is under way; another client takes its place and starts from the beginning."""


@pytest.fixture
def expected(layer: np.ndarray, reference: np.ndarray, own_backend: Callable[..., Backend], tmp_path: Path) -> Path:
    """A file of what each strength makes of the layer, from a client that has the backend to itself."""
    own_backend()
    small = np.ascontiguousarray(layer[::2, ::2])
    scene = {"layer": small, "reference": reference}
    with Client.connect(start=False) as client:
        for tenths in range(11):
            scene[f"at {tenths}"] = client.harmonize(
                small, reference, at=(150, 200), network_size=64, strength=tenths / 10
            ).pixels
    path = tmp_path / "expected.npz"
    np.savez(path, **scene)
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_who_survives_gets_its_own_answers_and_the_dead_leave_nothing(expected: Path) -> None:
    with Client.connect(start=False) as client:
        process = psutil.Process(client.status()["pid"])
        files_alone = process.num_fds()
    launched = 0

    def launch() -> subprocess.Popen[str]:
        nonlocal launched
        launched += 1
        words = [sys.executable, "-m", "tests.backend.one_of_many", str(expected), str(launched), str(REQUESTS)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    seats = [launch() for _ in range(CLIENTS)]
    memory: list[int] = []
    for turn in range(KILLED):
        victim = seats[turn % CLIENTS]
        assert victim.stdout is not None
        victim.stdout.readline()
        assert victim.poll() is None, victim.communicate()[1]
        victim.kill()
        victim.communicate()
        seats[turn % CLIENTS] = launch()
        memory.append(process.memory_info().rss)
    for survivor in seats:
        said = survivor.communicate()[1]
        assert survivor.returncode == 0, said
    with Client.connect(start=False) as client:
        await_that(lambda: client.status()["state"] == "idle")
        assert client.status()["queue"] == 0
        await_that(lambda: process.num_fds() <= files_alone)
    assert max(memory[KILLED // 2 :]) - max(memory[: KILLED // 2]) < 50e6
