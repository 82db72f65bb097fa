"""The commands for training and evaluating that README.md and docs/*.md print work as printed."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

import pytest

from backend.cli import main
from gknet.network import weights
from tests.printed_commands import ROOT, TRAINING, list_commands_of
from training.data.shards import is_validation
from training.engine import run as engine_run
from training.engine.run import TrainingRun, read_run
from training.heads import answers, bank
from training.human_study.server import StudyServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


STOPPED = {"training.heads.train": "runs/heads/state.pt", "training.heads.answers": "runs/answers/000000.pt"}
"""The file after which a command is stopped; the study stops after its last vote."""


def write_small_shard(pool: Path, folder: Path) -> None:
    """Copy three photographs to train on and two to validate on from the pool."""
    folder.mkdir()
    with tarfile.open(pool / "pool-000.tar") as whole, tarfile.open(folder / "photographs-000.tar", "w") as small:
        keys = dict.fromkeys(name.partition(".")[0] for name in whole.getnames())
        trained = [key for key in keys if not is_validation(key)][:3]
        validated = [key for key in keys if is_validation(key)][:2]
        for member in whole:
            if member.name.partition(".")[0] in (*trained, *validated):
                small.addfile(member, whole.extractfile(member))


def read_small_run(path: Path) -> TrainingRun:
    """Read a config and shrink it to one step of two composites, which are small unless they are iHarmony4's."""
    run = read_run(path)
    return replace(run, size=run.size if path.stem == "gknet_paper" else 32, batch=2, samples=2)


def vote_and_stop(server: StudyServer) -> None:
    """Answer every question as a browser does, and press Ctrl-C."""
    for number, _ in enumerate(server.list_trials("anna")):
        vote = json.dumps({"voter": "anna", "trial": number, "choice": "left"}).encode()
        urlopen(Request(f"{server.url}votes", vote, {"Content-Type": "application/json"})).close()
    signal.raise_signal(signal.SIGINT)


def stop_after(path: Path) -> None:
    """Press Ctrl-C as soon as a file exists."""
    while not path.exists():
        time.sleep(0.1)
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def folder(
    tmp_path: Path,
    pool: Path,
    light: Path,
    iharmony4_tree: Path,
    pairs_folder: Path,
    study_folders: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """The current folder, with all that the pages' commands take, and with configs that end after one step.

    The weights are a copy, which `training.improve` may replace.
    """
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "gknet" / "weights", tmp_path / "gknet" / "weights")
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "gknet" / "weights")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "learning-curve.csv", tmp_path / "docs")
    (tmp_path / "results").mkdir()
    write_small_shard(pool, tmp_path / "SHARDS")
    for name, target in {
        "training": ROOT / "training",
        "FILE": ROOT / "gknet" / "weights" / "gknet-s.safetensors",
        "LIGHT": light,
        "iHarmony4": iharmony4_tree,
        "FOLDER": pairs_folder,
        "results/ours": study_folders[0],
        "results/other": study_folders[1],
        "composites": study_folders[2],
        "composite.png": pairs_folder / "composite" / "medium.PNG",
        "mask.png": pairs_folder / "mask" / "medium.png",
    }.items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.setattr(engine_run, "read_run", read_small_run)
    monkeypatch.setattr(bank, "PIECE_LENGTH", 5)
    monkeypatch.setattr(bank, "NETWORK_SIZE", 64)
    monkeypatch.setattr(answers, "PIECE_LENGTH", 5)
    monkeypatch.setattr(answers, "NETWORK_SIZE", 64)
    serve_forever = StudyServer.serve_forever

    def serve_until_voted(server: StudyServer) -> None:
        Thread(target=vote_and_stop, args=[server], daemon=True).start()
        serve_forever(server)

    monkeypatch.setattr(StudyServer, "serve_forever", serve_until_voted)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def watch_tensorboard(words: list[str]) -> None:
    """Start TensorBoard, and end it when it has listed the runs in the folder `runs`."""
    program = [sys.executable, "-m", "tensorboard.main", *words]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+/", line)))
            shown: list[str] = []
            while not shown:  # it answers before it has read them
                with urlopen(f"{address}data/runs") as answer:
                    shown = json.load(answer)
            assert set(shown) == {f"{path.name}/tensorboard" for path in Path("runs").iterdir()}
        finally:
            process.terminate()


def run_module(module: str, *words: str) -> None:
    """Run `python -m`; the three commands that would go on for long get Ctrl-C."""
    if module in STOPPED:
        Thread(target=stop_after, args=[Path(STOPPED[module]).resolve()], daemon=True).start()
    port = ["--port", "0"] if module == "training.human_study" else []  # another program may have the usual port
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *words, *port])
        if module == answers.__name__:
            assert answers.main() == 0  # run anew as a module, it would have its own sizes
        else:
            runpy.run_module(module, run_name="__main__")


def run(command: str) -> None:
    """Run a printed command, on one CPU process instead of GPUs."""
    program, *words = shlex.split(command.replace("--device cuda", "--device cpu"))
    if program == "tensorboard":
        watch_tensorboard(words)
        return
    code: object = 0
    try:
        if program == "gknet":
            main(words)
        else:
            run_module(*words[words.index("-m") + 1 :])
    except SystemExit as end:
        code = end.code
    assert not code, command


@pytest.mark.usefixtures("folder", "one_thread")
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # from an earlier command's imports
@pytest.mark.parametrize("page", sorted({page for page, _ in list_commands_of(TRAINING)}))
def test_the_commands_of_a_page_work_in_its_order(page: str) -> None:
    """With tiny data and, in each config, a small size, batch, and number of samples; one CPU process for GPUs.

    Every file that a command is told to write has to be there. A command that an earlier page prints, too, isn't
    run again.
    """
    for command in [command for where, command in list_commands_of(TRAINING) if where == page]:
        run(command)
        for path in re.findall(r" (?:-o|--output|--out|--sheet|--plot|--votes) (\S+)", command):
            assert Path(path).exists(), command
