"""The settings of a run, read from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.engine.run import read_run

CONFIGS = Path(__file__).parents[3] / "training" / "configs"


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configs_describe_networks_that_can_be_built(config: Path) -> None:
    assert read_run(config).network().multiple in (8, 16)


def test_unknown_and_impossible_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('preset = "gknet-s"\nbatchsize = 3\n', encoding="utf-8")
    with pytest.raises(ValueError, match="batchsize"):
        read_run(path)
    for line, named in (
        ("batch = 0", "batch must be"),
        ("batch = '3'", "run.toml"),
        ("size = 100", "size must be a multiple of 16"),
        ("only = 'everything'", "only must be one of"),
        ("views = 0", "views must be"),
        ("heads = 2", "heads above 1 needs"),
        ("only = 'global_head'\nheads_apart = 2", "heads_apart above 1 needs"),
        ("loss = 'l1'", "loss must be one of"),
        ("warmup = -5", "warmup"),
        ("ema = 2", "ema must be between"),
    ):
        path.write_text(f'preset = "gknet-s"\n{line}\n', encoding="utf-8")
        with pytest.raises(ValueError, match=named):
            read_run(path)
    path.write_text("size = 64\n", encoding="utf-8")
    with pytest.raises(ValueError, match="preset"):
        read_run(path)
