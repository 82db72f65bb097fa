"""Table 4 on a tiny pool: rows that can be compared, and a command that can be killed at any time."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gknet import GKNet, preset
from gknet.network import weights
from gknet.network.config import ablations
from training import ablate as command
from training.ablate import ROWS, Ablation
from training.data.streams.composites import CompositeStream
from training.engine.run import TrainingRun, read_run
from training.engine.training import StatisticsPath, is_in_statistics_path

ROOT = Path(__file__).parents[2]
CONFIG = 'preset = "gknet-s"\nsize = 32\nbatch = 4\nsamples = 12\nlearning_rate = 1e-3\nloss = "foreground_rmse"\n'
RUN = TrainingRun(preset="gknet-s", size=32, batch=4, samples=12, learning_rate=1e-3)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def arguments(config: Path, pool: Path, out: Path, *more: str | Path) -> list[str]:
    given = ["--config", config, "--data", pool, "--pool", pool, "--out", out, "--every", "4", *more]
    return list(map(str, given))


def run(given: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["ablate", *given])
    return command.main()


def table(printed: str) -> str:
    """From the title on, without the seconds."""
    return re.sub(r"[^│]*│$", "", printed[printed.index("Table 4") :], flags=re.MULTILINE)


@pytest.mark.usefixtures("one_thread")
def test_rows_see_the_same_composites_and_start_alike(pool: Path, tmp_path: Path) -> None:
    ablation = Ablation(RUN, [pool], pool, tmp_path / "out", None, 1)
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


@pytest.mark.usefixtures("one_thread")
def test_rows_start_from_the_statistics_path_of_given_weights(pool: Path, tmp_path: Path) -> None:
    start = weights.find_shipped("gknet-s")
    given = weights.load(start)
    ablation = Ablation(RUN, [pool], pool, tmp_path / "out", start, 1)
    picture, mask = torch.rand(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.5).float()
    with torch.inference_mode():
        wanted = StatisticsPath(given)(picture, mask)
        for parts in ROWS:
            net = ablation.start_training(0, parts).net.eval()
            assert torch.allclose(net(picture, mask), wanted, atol=1e-5)
            own = net.state_dict()
            assert all(torch.equal(own[n], v) for n, v in given.state_dict().items() if is_in_statistics_path(n))


def test_a_table_of_two_seeds_is_kept_and_printed_again(
    pool: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(config, pool, tmp_path / "out", "--start", weights.find_shipped("gknet-s"), "--seeds", "0", "3")
    assert run(given, monkeypatch) == 0
    printed = capsys.readouterr().out
    shown = printed[printed.index("Table 4") :]
    digest = weights.compute_digest(weights.find_shipped("gknet-s"))
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
    assert run(given, monkeypatch) == 0
    assert capsys.readouterr().out.lstrip() == shown
    assert run([*given[:-1], "0"], monkeypatch) == 0
    assert "1 seed," in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_table(pool: Path, config: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def begin(out: Path) -> subprocess.Popen[str]:
        call = [sys.executable, "-m", "training.ablate", *arguments(config, pool, out, "--seeds", "0")]
        pipe = subprocess.PIPE
        return subprocess.Popen(call, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)

    def stop_in(row: str, number: signal.Signals) -> tuple[int, str]:
        """Interrupts the command as soon as it has begun that row."""
        with begin(tmp_path / "killed") as process:
            assert process.stdout is not None
            while process.stdout.readline().strip() != row:
                assert process.poll() is None
            while not (tmp_path / "killed" / row.replace(", ", "/").replace(" ", "-") / "tensorboard").exists():
                time.sleep(0.01)
            process.send_signal(number)
            _, told = process.communicate(timeout=120)
        return process.returncode, told

    with begin(tmp_path / "whole") as process:
        whole, _ = process.communicate(timeout=200)
    assert stop_in("seed 0, +KPB", signal.SIGKILL)[0] == -signal.SIGKILL
    code, told = stop_in("seed 0, +LRE", signal.SIGINT)
    assert (code, told.splitlines()[-1]) == (130, "ablate: stopped; run the same command again to resume")
    with begin(tmp_path / "killed") as process:
        printed, _ = process.communicate(timeout=200)
    assert "seed 0, +KPB" not in printed
    assert table(printed) == table(whole)


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
    pool: Path,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    given = arguments(config, pool, tmp_path / "out", *(part for change in changes.items() for part in change))
    assert run(given, monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith("ablate: ")
    assert told in error
    assert error.count("\n") == 1


def test_another_ablations_folder_is_left_alone(
    pool: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    Ablation(read_run(config), [pool], pool, out, None, 4)
    config.write_text(CONFIG.replace("12", "16"), encoding="utf-8")
    assert run(arguments(config, pool, out), monkeypatch) == 2
    assert (
        capsys.readouterr().err
        == f"ablate: {out} contains an ablation with different settings (samples); choose a new folder\n"
    )
    start = weights.find_shipped("gknet-s")
    with pytest.raises(ValueError, match="different settings \\(start\\); choose a new folder"):
        Ablation(RUN_OF_CONFIG, [pool], pool, out, start, 4)
    bigger = tmp_path / "bigger"
    shutil.copytree(pool, bigger)
    shutil.copy(pool / "pool-000.tar", bigger / "pool-001.tar")
    with pytest.raises(ValueError, match="different settings \\(data\\); choose a new folder"):
        Ablation(RUN_OF_CONFIG, [bigger], pool, out, None, 4)


RUN_OF_CONFIG = replace(RUN, loss="foreground_rmse")


def test_weights_without_such_a_statistics_path_are_refused(pool: Path, tmp_path: Path) -> None:
    small = replace(preset("gknet"), width=8, stem=2)
    weights.save(GKNet(small), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="no statistics path for the preset gknet-s"):
        Ablation(RUN, [pool], pool, tmp_path / "out", tmp_path / "small.safetensors", 1)
    with pytest.raises(ValueError, match="no statistics path for the preset gknet"):
        Ablation(replace(RUN, preset="gknet"), [pool], pool, tmp_path / "out", weights.find_shipped("gknet-s"), 1)
    assert not (tmp_path / "out").exists()
