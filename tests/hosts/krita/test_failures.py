"""What goes wrong around the plug-in in a real Krita: it says so, and leaves the document alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backend.real_backend import Backend
from tests.hosts.krita.program import Krita

FAKE = Path(__file__).parents[1] / "failing_backend.py"


class Outside:
    """Does what the driver asks for: starts, stops and ends the backend, real ones and one that fails."""

    def __init__(self, out: Path, folder: Path, krita: Krita) -> None:
        self.out, self.folder = out, folder
        self.connection = folder / "run" / "backend.json"
        self.record = krita.data / "pykrita" / "gknet_harmonize" / "installed.json"
        self.usual = self.record.read_text()
        self.real: Backend | None = None
        self.fake: subprocess.Popen[str] | None = None

    def look(self) -> None:
        """Does what has been asked for since the last look."""
        if (self.out / "wanted").exists():
            (self.out / "wanted").unlink()
            self.do("start")
        if (self.out / "do").exists():
            words = (self.out / "do").read_text()
            (self.out / "do").unlink()
            self.do(words)
            (self.out / "did").touch()

    def do(self, words: str) -> None:
        if words == "record a starter":
            starter = ["sh", "-c", f"touch {self.out}/wanted; exec sleep 60"]
            self.record.write_text(json.dumps({"command": starter}))
        elif words == "record the real command":
            self.record.write_text(self.usual)
        elif words == "start":
            self.end()
            self.real = Backend(self.folder)
        elif words in ("stop", "continue", "kill"):
            assert self.real is not None
            number = {"stop": signal.SIGSTOP, "continue": signal.SIGCONT, "kill": signal.SIGKILL}[words]
            self.real.process.send_signal(number)
        elif words.startswith("fake "):
            self.end()
            self.play(words.split()[1])
        else:
            raise AssertionError(words)

    def play(self, way: str) -> None:
        environment = {**os.environ, "GKNET_CONNECTION": str(self.connection)}
        self.fake = subprocess.Popen([sys.executable, FAKE, way], env=environment, stdout=subprocess.PIPE, text=True)
        assert self.fake.stdout is not None
        assert self.fake.stdout.readline() == "ready\n"

    def end(self) -> None:
        """Ends what runs."""
        for process in (self.fake, self.real and self.real.process):
            if process is not None:
                process.kill()
                process.communicate(timeout=60)
        self.fake = self.real = None


@pytest.fixture(scope="module")
def facts(krita: Krita, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """What the driver found in each case; all of them in one Krita, which is quit in the last one."""
    out = tmp_path_factory.mktemp("failures")
    outside = Outside(out, tmp_path_factory.mktemp("other-backend"), krita)
    deadline = time.monotonic() + 600
    try:
        with krita.start("failures.py", {}, out, outside.connection) as process:
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    outside.look()
                    time.sleep(0.02)
            finally:
                process.terminate()
    finally:
        outside.end()
        outside.do("record the real command")
    log = (out / "log").read_text(errors="replace")
    assert "DRIVER FAILED" not in log, log[-4000:]
    found = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    found["quits"] = {"status": process.returncode}
    return lambda name: found[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", ["can't be started", "gknet install"]),
        ("killed", ["can't be started", "gknet install"]),
        ("out of memory", ["not enough memory", "Close other programs"]),
        ("wrong version", ["version", "Install the same version"]),
        ("layer removed", ["The layer was removed", "Nothing was changed"]),
    ],
)
def test_a_failure_is_told_and_the_document_is_untouched(
    name: str, words: list[str], facts: Callable[[str], dict[str, Any]]
) -> None:
    found = facts(name)
    for word in words:
        assert word in found["message"]
    assert found["untouched"]
    assert not found["modified"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CMYKA", ["CMYK", "Convert Image Color Space", "Convert Layer Color Space"]),
        ("LABA", ["L*a*b*", "Convert Image Color Space"]),
        ("XYZA", ["XYZ", "Convert Image Color Space"]),
        ("empty", ["The layer is empty"]),
        ("opaque", ["opaque", "select the object"]),
        ("nothing open", ["No layer is selected", "Open an image"]),
    ],
)
def test_what_cannot_be_harmonized_is_refused_with_a_way_out(
    name: str, words: list[str], facts: Callable[[str], dict[str, Any]]
) -> None:
    found = facts("unsuitable")[name]
    for word in words:
        assert word in found["message"]
    assert found["untouched"]
    assert not found["modified"]


def test_a_backend_that_has_to_start_first_is_waited_for(facts: Callable[[str], dict[str, Any]]) -> None:
    found = facts("starting")
    assert found["names"] == ["Background", "object", "object (harmonized)"]
    assert "Starting the backend…" in found["said"]
    assert not found["messages"]
    assert "Starting the backend…" not in facts("warm")["said"]


def test_the_result_goes_to_the_document_that_it_was_asked_for(facts: Callable[[str], dict[str, Any]]) -> None:
    asked, other = facts("two documents")["names"]
    assert asked == ["Background", "object", "object (harmonized)"]
    assert other == ["Background"]


def test_closing_the_document_ends_it_quietly(facts: Callable[[str], dict[str, Any]]) -> None:
    found = facts("document closed")
    assert (found["documents"], found["messages"]) == (1, [])
    assert found["untouched"]
    assert not found["modified"]


@pytest.mark.parametrize("when", ["early", "late"])
def test_closing_the_document_of_the_dialog_is_said_and_nothing_else(
    when: str, facts: Callable[[str], dict[str, Any]]
) -> None:
    said = "The picture was closed."
    assert facts("closed in the dialog")[when] == {"preview": said, "messages": [said]}


def test_removing_the_layer_of_the_dialog_is_said_and_nothing_else(facts: Callable[[str], dict[str, Any]]) -> None:
    said = "The layer was removed meanwhile.\n\nNothing was changed."
    assert facts("removed in the dialog") == {"preview": said, "messages": [said]}


@pytest.mark.parametrize("call", ["setPixelData", "addChildNode"])
def test_what_krita_refuses_is_told_and_the_document_is_untouched(
    call: str, facts: Callable[[str], dict[str, Any]]
) -> None:
    found = facts("refused by Krita")[call]
    assert found["message"].startswith("Krita could not make the new layer.\n\nNothing was changed.")
    assert found["untouched"]
    assert not found["modified"]


def test_a_qt_that_another_plug_in_has_loaded_is_left_alone(facts: Callable[[str], dict[str, Any]]) -> None:
    found = facts("other Qt")
    assert found["used"] == f"PyQt{found['krita'][0]}"


def test_krita_can_be_quit_meanwhile(facts: Callable[[str], dict[str, Any]]) -> None:
    assert facts("quits")["status"] == 0
