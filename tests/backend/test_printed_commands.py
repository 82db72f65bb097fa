"""The `gknet` commands that README.md and docs/*.md print work as printed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli import main
from tests.gknet import ora
from tests.preloaded import Process
from tests.printed_commands import BACKGROUND, IN_HOSTS, ON_FILES, list_commands_of

pytestmark = pytest.mark.integration


def run(command: str) -> int:
    """Run a printed command in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    return int(ended.value.code or 0)


def find_result(command: str) -> Path | None:
    """Return the file or folder that a command has to write."""
    words = shlex.split(command)[1:]
    if "-o" in words:
        return Path(words[words.index("-o") + 1])
    return {"batch": Path(words[-1] if len(words) < 4 else words[2]), "demo": Path("gknet-demo.png")}.get(words[0])


def check_picture(path: Path) -> None:
    """Check that a composite's object has changed and, unless JPEG has changed everything, nothing else."""
    composite, mask = (np.asarray(Image.open(name)) for name in ("composite.png", "mask.png"))
    change = np.abs(np.asarray(Image.open(path)).astype(int) - composite).mean(axis=2)
    assert change[mask > 0].mean() > 1
    assert path.suffix == ".jpg" or change[mask == 0].max() == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.slow] if command.startswith("gknet inspect") else [])
        for _, command in list_commands_of(ON_FILES)
    ],
)
def test_a_command_works_on_the_files_that_it_names(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 0
    printed = capfd.readouterr().out
    result = find_result(command)
    if command == "gknet info":
        for word in ("gknet ", "gknet-s ", "gknet-s.safetensors", "cpu"):
            assert word in printed
    elif result is None:
        assert "gknet" in printed
    elif result.is_dir():
        names = {path.relative_to(result).as_posix() for path in result.rglob("*.*") if path.is_file()}
        assert names & {"cup.png", "cats/one.png", "index.html"}
    elif result.suffix == ".ora":
        assert b"Dog (harmonized)" in ora.contents(result)["stack.xml"]
    elif result.name == "gknet-demo.png":
        assert np.asarray(Image.open(result)).std() > 20
    else:
        check_picture(result)
    if "--report" in command:
        assert '"state": "written"' in Path("report.json").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who has started GIMP and Krita, and has no backend."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "GIMP3", "GKNET_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GKNET_CONNECTION", str(tmp_path / "run" / "backend.json"))
    (tmp_path / ".config/GIMP/3.0").mkdir(parents=True)
    (tmp_path / ".local/share/krita").mkdir(parents=True)
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="the folders are Linux's")
def test_plug_ins_are_installed_checked_and_removed(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Doctor's exit code is 1 for an error, here a graphics card that is asked for and isn't there."""
    plug_ins = {
        "gimp": home / ".config/GIMP/3.0/plug-ins/gknet-harmonize/gknet-harmonize.py",
        "krita": home / ".local/share/krita/pykrita/gknet_harmonize/__init__.py",
    }
    for _, command in list_commands_of(IN_HOSTS):
        name, *rest = shlex.split(command)[1:]
        if name == "doctor":
            assert run("gknet install all") == 0
            capfd.readouterr()
            is_missing = "cuda" in rest and not torch.cuda.is_available()
            assert run(command) == int(is_missing)
            assert ("'cuda' is not available" in capfd.readouterr().out) == is_missing
        else:
            assert run(command) == 0
            for host in plug_ins if rest == ["all"] else rest:
                assert plug_ins[host].exists() == (name == "install")


def test_the_background_process_is_served_shown_and_stopped(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each way to serve, in a process of its own, and then the other commands, which it has to answer."""
    commands = [command for _, command in list_commands_of(BACKGROUND)]
    serving = [command for command in commands if command.startswith("gknet serve")]
    assert {*commands} - {*serving} == {"gknet status", "gknet stop"}
    for command in serving:
        process = Process(shlex.split(command)[1:])
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Listening on port ")
        assert run("gknet status") == 0
        assert str(process.pid) in capfd.readouterr().out
        assert run("gknet stop") == 0
        assert capfd.readouterr().out == "The backend has stopped.\n"
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0
    assert list((home / "run").glob("*.json")) == []
