"""The paper's Fig. 2, drawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gknet import GKNet, preset
from gknet.errors import InputError
from tests.training.calling import call_command
from training import evaluate as command
from training.evaluation.metrics import Record, Scores
from training.evaluation.published import TABLE_1
from training.evaluation.quality_plot import IHARMONY4, Mark, check, draw, measure_marks, read_published_marks

NETWORK = preset("gknet-s")


def records(*after: float) -> list[Record]:
    return [Record("key", "mkl", 0.1, Scores(100, 30, 100), Scores(mse, 33, mse)) for mse in after]


def texts(path: Path) -> str:
    """What is written in a plot; matplotlib leaves it beside the shapes of its letters."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8")))


def test_quality_is_the_share_of_the_error_that_is_left() -> None:
    network, classical = measure_marks({"ours": records(20, 40), "Reinhard": records(100, 300)}, {"ours": NETWORK})
    assert (network.share, classical.share) == (pytest.approx(0.3), pytest.approx(2.0))
    assert classical.size is None
    assert network.size is not None
    net = GKNet(NETWORK)
    assert net.recognition is not None
    learned = [*net.parameters(), *net.recognition.buffers()]
    assert network.size[0] == sum(tensor.numel() for tensor in learned)
    same = [Record("key", "mkl", 0.1, Scores(0, 100, 0), Scores(0, 100, 0))]
    with pytest.raises(InputError, match="nothing to draw"):
        measure_marks({"ours": same}, {})


def test_published_methods_have_no_size_that_the_paper_does_not_state() -> None:
    marks = {mark.name: mark for mark in read_published_marks()}
    assert marks["DoveNet"] == Mark("DoveNet", pytest.approx(52.33 / 172.47))
    assert [name for name, mark in marks.items() if mark.size] == ["GKNet (size of our version)"]


def test_other_data_have_panels_of_their_own(tmp_path: Path) -> None:
    ours = [Mark("some.safetensors", 0.4, (3_000_000, 2_000_000_000)), Mark("Reinhard", 2.5)]
    draw(tmp_path / "plot.svg", ours, "pool, 12 composites")
    written = texts(tmp_path / "plot.svg")
    assert "Measured here on pool, 12 composites: other data, not comparable with the row above" in written
    for row in TABLE_1:
        if row.method != "Composite":
            assert row.method in written
    assert "some.safetensors, 40.0 %" in written
    assert "Reinhard, 250.0 %" in written


def test_the_same_data_share_their_panels(tmp_path: Path) -> None:
    draw(tmp_path / "plot.svg", [Mark("some.safetensors", 0.4, (3_000_000, 2_000_000_000))], IHARMONY4)
    written = texts(tmp_path / "plot.svg")
    assert "not comparable" not in written
    assert "published, and measured here" in written
    assert "some.safetensors, 40.0 %" in written


@pytest.mark.parametrize(
    ("name", "told"),
    [("plot.gif", "no ending of a plot. Choose a name that ends in .png or .svg"), ("no/plot.png", "missing")],
)
def test_what_could_not_be_written_is_refused(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        check(tmp_path / name)


def test_a_bad_name_costs_no_evaluation() -> None:
    done = call_command(command.main, "--pool", "nowhere", "--plot", "plot.gif")
    assert done.code == 2
    assert done.err == "evaluate: plot.gif has no ending of a plot. Choose a name that ends in .png or .svg.\n"
