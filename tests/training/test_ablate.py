"""Table 4 on a tiny pool: rows that can be compared, and a command that can be killed at any time."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gknet import GKNet, preset
from gknet.network import weights
from gknet.network.config import ablations
from tests.training.calling import call_command
from training import ablate as command
from training.ablate import ROWS, Ablation
from training.data.streams.composites import CompositeStream
from training.engine.batch import Stream
from training.engine.run import TrainingRun, read_run
from training.engine.training import StatisticsPath, Training, is_in_statistics_path

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]
ROOT = Path(__file__).parents[2]
CONFIG = 'preset = "gknet-s"\nsize = 32\nbatch = 4\nsamples = 12\nlearning_rate = 1e-3\nloss = "foreground_rmse"\n'
RUN = TrainingRun(preset="gknet-s", size=32, batch=4, samples=12, learning_rate=1e-3)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def arguments(config: Path, pool: Path, out: Path, *more: str | Path) -> list[str]:
    given = ["--config", config, "--data", pool, "--pool", pool, "--out", out, "--every", "2", *more]
    return list(map(str, given))


def table(printed: str) -> str:
    """From the title on, without the seconds."""
    return re.sub(r"[^│]*│$", "", printed[printed.index("Table 4") :], flags=re.MULTILINE)


def test_rows_see_the_same_composites_and_start_alike(small_pool: Path, tmp_path: Path) -> None:
    ablation = Ablation(RUN, [small_pool], small_pool, tmp_path / "out", None, 1)
    rows = [ablation.start_training(7, parts) for parts in ROWS]
    batches = []
    for training in rows:
        stream = CompositeStream(ablation.photographs, training.run, training.generator)
        batches.append([stream.draw_batch() for _ in range(3)])
    for other in batches[1:]:
        for mine, yours in zip(batches[0], other, strict=True):
            assert all(torch.equal(one, two) for one, two in zip(mine[:3], yours[:3], strict=True))
    whole = rows[-1].net.state_dict()
    for training, network in zip(rows, ablations(preset("gknet-s")).values(), strict=True):
        assert training.net.config == network
        own = training.net.state_dict()
        assert all(torch.equal(own[name], whole[name]) for name in own if name in whole)
        assert all(torch.equal(own[name], values) for name, values in training.average.module.state_dict().items())
    other_seed = ablation.start_training(8, ROWS[0]).net.state_dict()
    assert not all(torch.equal(values, whole[name]) for name, values in other_seed.items())


def test_rows_start_from_the_statistics_path_of_given_weights(small_pool: Path, tmp_path: Path) -> None:
    start = weights.find_shipped("gknet-s")
    given = weights.load(start)
    ablation = Ablation(RUN, [small_pool], small_pool, tmp_path / "out", start, 1)
    picture, mask = torch.rand(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.5).float()
    with torch.inference_mode():
        wanted = StatisticsPath(given)(picture, mask)
        for parts in ROWS:
            net = ablation.start_training(0, parts).net.eval()
            assert torch.allclose(net(picture, mask), wanted, atol=1e-5)
            own = net.state_dict()
            assert all(torch.equal(own[n], v) for n, v in given.state_dict().items() if is_in_statistics_path(n))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_preset", "two_kinds")
def test_a_table_of_two_seeds_is_kept_and_printed_again(small_pool: Path, config: Path, tmp_path: Path) -> None:
    start = weights.find_shipped("gknet-s")
    config.write_text(CONFIG.replace("12", "4"), encoding="utf-8")
    given = arguments(config, small_pool, tmp_path / "out", "--start", start, "--seeds", "0", "3")
    done = call_command(command.main, *given)
    assert done.code == 0, done.err
    printed = done.out
    shown = printed[printed.index("Table 4") :]
    digest = weights.compute_digest(start)
    assert f"from the statistics' path of gknet-s.safetensors {digest}" in " ".join(shown.split())
    for parts in ROWS:
        (row,) = re.findall(rf"^│ {re.escape(parts)} .*$", shown, re.MULTILINE)
        assert row.count("±") == 4
        (paper,) = re.findall(rf"^│ paper: {re.escape(parts)} .*$", shown, re.MULTILINE)
        assert ("220.44" in paper) == (parts == "+SCF")
        for seed in (0, 3):
            net = weights.load(tmp_path / "out" / f"seed-{seed}" / parts / "weights.safetensors")
            assert net.config == ablations(preset("gknet-s"))[parts]
    assert not list(tmp_path.rglob("state.pt"))
    # No shard is opened any more: they are named, and their sizes compared.
    assert call_command(command.main, *given).out.lstrip() == shown
    done = call_command(command.main, *given[:-1], "0")
    assert done.code == 0
    assert "1 seed," in done.out


DYING = """
import os, signal, sys
from training import ablate
from training.engine.training import Training

take_step = Training.train_step

def die_in_the_second_row(training, stream):
    if training.run.parts == "+KPB" and training.step == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(training, stream)

Training.train_step = die_in_the_second_row
sys.exit(ablate.main())
"""


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_table(
    small_pool: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_step = Training.train_step

    def interrupt_the_third_row(training: Training, stream: Stream) -> float:
        loss = take_step(training, stream)
        if training.run.parts == "+LRE":
            signal.raise_signal(signal.SIGINT)
        return loss

    whole = call_command(command.main, *arguments(config, small_pool, tmp_path / "whole", "--seeds", "0"))
    given = arguments(config, small_pool, tmp_path / "killed", "--seeds", "0")
    killed = subprocess.run([sys.executable, "-c", DYING, *given], cwd=ROOT, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    with monkeypatch.context() as patched:
        patched.setattr(Training, "train_step", interrupt_the_third_row)
        stopped = call_command(command.main, *given)
    assert (stopped.code, stopped.err) == (130, "ablate: stopped; run the same command again to resume\n")
    assert "seed 0, baseline" not in stopped.out
    again = call_command(command.main, *given)
    assert "seed 0, +KPB" not in again.out
    assert table(again.out) == table(whole.out)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"--config": "nowhere.toml"}, "nowhere.toml"),
        ({"--config": "README.md"}, "README.md is not a valid TOML file"),
        ({"--config": "training/configs/gknet_s_statistics.toml"}, "remove `only` and `parts` from its config"),
        ({"--data": "tests"}, "tests contains no .tar shards"),
        ({"--pool": "nowhere"}, "nowhere contains no .tar shards"),
        ({"--start": "nowhere.safetensors"}, "nowhere.safetensors cannot be read"),
        ({"--out": "README.md"}, "README.md"),
        ({"--out": "docs"}, "docs contains files other than an ablation; choose a new folder"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    changes: dict[str, str],
    told: str,
    small_pool: Path,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    given = arguments(config, small_pool, tmp_path / "out", *(part for change in changes.items() for part in change))
    done = call_command(command.main, *given)
    assert done.code == 2
    assert done.err.startswith("ablate: ")
    assert told in done.err
    assert done.err.count("\n") == 1


def test_another_ablations_folder_is_left_alone(small_pool: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Ablation(read_run(config), [small_pool], small_pool, out, None, 2)
    config.write_text(CONFIG.replace("12", "16"), encoding="utf-8")
    done = call_command(command.main, *arguments(config, small_pool, out))
    assert done.code == 2
    assert done.err == f"ablate: {out} contains an ablation with different settings (samples); choose a new folder\n"
    start = weights.find_shipped("gknet-s")
    with pytest.raises(ValueError, match="different settings \\(start\\); choose a new folder"):
        Ablation(RUN_OF_CONFIG, [small_pool], small_pool, out, start, 2)
    bigger = tmp_path / "bigger"
    shutil.copytree(small_pool, bigger)
    shutil.copy(small_pool / "pool-000.tar", bigger / "pool-001.tar")
    with pytest.raises(ValueError, match="different settings \\(data\\); choose a new folder"):
        Ablation(RUN_OF_CONFIG, [bigger], small_pool, out, None, 2)


RUN_OF_CONFIG = replace(RUN, loss="foreground_rmse")


def test_weights_without_such_a_statistics_path_are_refused(small_pool: Path, tmp_path: Path) -> None:
    small = replace(preset("gknet"), width=8, stem=2)
    weights.save(GKNet(small), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="no statistics path for the preset gknet-s"):
        Ablation(RUN, [small_pool], small_pool, tmp_path / "out", tmp_path / "small.safetensors", 1)
    shipped = weights.find_shipped("gknet-s")
    with pytest.raises(ValueError, match="no statistics path for the preset gknet"):
        Ablation(replace(RUN, preset="gknet"), [small_pool], small_pool, tmp_path / "out", shipped, 1)
    assert not (tmp_path / "out").exists()
