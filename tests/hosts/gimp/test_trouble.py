"""A backend that is absent, starts, dies, is out of memory or of another version: GIMP says so, the image stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend import Client
from tests.backend.real_backend import Backend
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Program, Running, await_that

FAKE = Path(__file__).parents[1] / "failing_backend.py"
LONG = (6000, 4000)


@pytest.fixture(scope="module")
def running(gimp: Program) -> Iterator[Running]:
    """GIMP whose plug-ins look for a connection file where there is none yet."""
    folder = gimp.folder / "trouble-backend"
    folder.mkdir()
    (folder / "run").mkdir(mode=0o700)
    started = gimp.start("trouble", folder / "run" / "backend.json")
    cases.write_photographs(started.folder)
    yield started
    started.close()


@pytest.fixture
def image(running: Running) -> Iterator[Callable[[], None]]:
    """An image with a pasted object that is read from copies; the function it gives checks that it is as it was."""
    holder = {"name": "holder", "is_group": True, "locks": ["content"]}
    layer = cases.layer("object", "opaque", x=100, y=70, mask="mask", effect=cases.SHADOW, group="holder")
    layers = [cases.layer("ground", "ground"), holder, layer]
    before = running.ask("show", cases.case("trouble", layers=layers))

    def check() -> None:
        after = running.ask("state", "after")
        assert running.ask("images") == 1
        assert not after["dirty"]
        assert [entry["name"] for entry in after["layers"]] == [entry["name"] for entry in before["layers"]]
        for was, now in zip(before["layers"], after["layers"], strict=True):
            for key in set(was) - {"pixels", "mask"}:
                assert now[key] == was[key]
            if "pixels" in was:
                assert (running.folder / now["pixels"]).read_bytes() == (running.folder / was["pixels"]).read_bytes()

    yield check
    running.ask("close")


@pytest.fixture
def starts(gimp: Program) -> Iterator[Callable[..., None]]:
    """Records another command as the one that starts a backend, until the test ends."""
    record = gimp.plug_in / "installed.json"
    usual = record.read_text()

    def put(*command: str) -> None:
        record.write_text(json.dumps({**json.loads(usual), "command": list(command)}))

    yield put
    record.write_text(usual)


@pytest.fixture
def fake(running: Running) -> Iterator[Callable[[str], None]]:
    """Starts a small backend that fails in one way."""
    made: list[subprocess.Popen[str]] = []

    def start(way: str) -> None:
        environment = {**os.environ, "GKNET_CONNECTION": str(running.connection)}
        words = [sys.executable, str(FAKE), way]
        made.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
        assert made[-1].stdout is not None
        assert made[-1].stdout.readline() == "ready\n"

    yield start
    for process in made:
        process.kill()
        process.communicate()
    running.connection.unlink(missing_ok=True)


def harmonize(running: Running) -> tuple[str, str]:
    status, error, _ = running.ask("harmonize", "object", {})
    return status, error


def test_no_backend_and_none_can_be_started(
    running: Running, image: Callable[[], None], starts: Callable[..., None]
) -> None:
    starts("/nowhere/python", "-m", "backend.cli", "serve")
    status, error = harmonize(running)
    assert status == "execution-error"
    assert "can't be started" in error
    assert "gknet install" in error
    image()


def test_a_backend_that_ends_at_once_is_reported_with_how_to_see_why(
    running: Running, image: Callable[[], None], starts: Callable[..., None]
) -> None:
    starts("/bin/false", "serve")
    status, error = harmonize(running)
    assert status == "execution-error"
    assert "ended with status 1" in error
    assert "/bin/false serve" in error
    image()


def test_a_backend_that_is_not_running_is_started_and_waited_for(
    running: Running, image: Callable[[], None], starts: Callable[..., None]
) -> None:
    del image
    asked = running.folder / "asked"
    starts("/bin/sh", "-c", f"touch {asked}; exec sleep 300")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(harmonize, running)
        await_that(asked.exists, "the plug-in's wish to start a backend")
        backend = Backend(running.connection.parent.parent)
        try:
            assert answer.result() == ("success", "")
        finally:
            backend.end()
    assert running.ask("names")[0][1] == "object (harmonized)"
    assert running.ask("images") == 1


def test_a_backend_killed_midway(
    running: Running, image: Callable[[], None], starts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    image()
    running.ask("close")
    layer = cases.pasted(enlarged=LONG, x=0, y=0)
    layers = [cases.layer("ground", "ground"), layer]
    before = running.ask("show", cases.case("killed", width=LONG[0], height=LONG[1], layers=layers))
    starts("/bin/false")  # once it has gone, it cannot be started again
    backend = Backend(running.connection.parent.parent)
    monkeypatch.setenv("GKNET_CONNECTION", str(running.connection))
    with ThreadPoolExecutor(1) as pool, Client.connect(start=False) as client:
        answer = pool.submit(harmonize, running)
        await_that(lambda: client.status()["state"] == "working", "the backend's work")
        backend.end(signal.SIGKILL)
        status, error = answer.result()
    running.connection.unlink(missing_ok=True)
    assert status == "execution-error"
    assert "backend" in error
    after = running.ask("state", "killed")
    assert not after["dirty"]
    assert [(entry["name"], entry["visible"]) for entry in after["layers"]] == [("object", True), ("ground", True)]
    for was, now in zip(before["layers"], after["layers"], strict=True):
        assert (running.folder / now["pixels"]).read_bytes() == (running.folder / was["pixels"]).read_bytes()


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (
            "out-of-memory",
            "There is not enough memory for this image.\n\nClose other programs, or use a smaller image.",
        ),
        ("newer", "Install the same version of GKNet Harmonize for both."),
        ("refuses", "The client speaks version"),
    ],
)
def test_what_the_backend_says_is_shown(
    running: Running,
    image: Callable[[], None],
    starts: Callable[..., None],
    fake: Callable[[str], None],
    way: str,
    words: str,
) -> None:
    starts("/bin/false")
    fake(way)
    status, error = harmonize(running)
    assert status == "execution-error"
    assert words in error
    image()
