"""Scores of the three kinds of data, in one process and through the real command."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from gknet import Harmonizer, preset
from gknet.network import weights
from tests.training.calling import Outcome, call_command
from tests.training.interrupting import press_ctrl_c_in
from tests.training.two_kinds import TWO_KINDS, leave_two_kinds
from training import evaluate as command
from training.data.iharmony4 import SUBSETS
from training.data.judging_sets.validation import open_pool, read_validation
from training.data.sample import Sample
from training.evaluation.cases import evaluate_samples, harmonize_samples
from training.evaluation.published import TABLE_1

ROOT = Path(__file__).parents[2]
SIZE = 288
pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("one_thread")]


def run(*arguments: str | Path) -> Outcome:
    """The command's results; it must have succeeded."""
    done = call_command(command.main, "--device", "cpu", *arguments)
    assert done.code == 0, done.err
    return done


def rows(printed: str, name: str) -> list[str]:
    return re.findall(rf"^│ {re.escape(name)} .*$", printed, re.MULTILINE)


def some(pool: Path, count: int) -> list[Sample]:
    _, samples = open_pool(pool)
    return [sample for _, sample in zip(range(count), samples, strict=False)]


@pytest.fixture(scope="module")
def judged(small_pool: Path, quick_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report on a pool at another size, with a plot beside it, and what was printed."""
    root = tmp_path_factory.mktemp("judged")
    folder = root / "new" / "report"
    given = ["--pool", small_pool, "--weights", quick_weights, "--size", str(SIZE), "-o", folder]
    with leave_two_kinds():
        return folder, run(*given, "--plot", root / "plot.png").out


def test_a_pool_is_judged_by_kind_foreground_share_and_source(judged: tuple[Path, str], small_pool: Path) -> None:
    folder, printed = judged
    for kind in TWO_KINDS:
        (row,) = rows(printed, kind)
        assert row.count("→") == 3
    assert len(rows(printed, "all")) == 3
    assert len(rows(printed, "0–5 %") + rows(printed, "5–15 %") + rows(printed, "15–100 %")) == 3
    for source in {key.partition("_")[0] for key in read_validation(small_pool).keys}:
        assert len(rows(printed, source)) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "scores.csv", "tables.md"]
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert {row["kind"] for row in csv.DictReader(file)} == set(TWO_KINDS)


def test_a_pool_can_be_judged_at_full_resolution(
    judged: tuple[Path, str], small_pool: Path, quick_weights: Path
) -> None:
    folder, printed = judged
    assert printed.count(f"{SIZE} x {SIZE}") == 5
    assert "256 x 256" not in printed
    _, larger = open_pool(small_pool, SIZE)
    sample = next(larger)
    assert sample.composite.shape == sample.real.shape == (SIZE, SIZE, 3)
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    harmonized = Harmonizer(weights.load(quick_weights), "cpu")(sample.composite, sample.mask)
    fmse = mean_squared_error(sample.real[sample.mask], harmonized[sample.mask])
    assert float(row["fmse_after"]) == pytest.approx(fmse, abs=1e-3)


def test_a_pool_is_judged_beside_classical_methods_and_plotted(judged: tuple[Path, str]) -> None:
    folder, printed = judged
    with Image.open(folder.parents[1] / "plot.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500
    for name in ("untouched", "Reinhard from the background", "MKL from the background", "quick.safetensors"):
        assert len(re.findall(rf"^│ {name} .*$", printed, re.MULTILINE)) == 2 * 3  # by kind and share, a row a metric
    assert "Color transfer between images" in " ".join(printed.split())


def test_iharmony4_is_printed_beside_the_papers_tables(iharmony4_tree: Path, tmp_path: Path) -> None:
    printed = run("--iharmony4", iharmony4_tree, "-o", tmp_path).out
    for subset in SUBSETS:
        (row,) = rows(printed, subset)
        assert row.count("→") == 3
    assert printed.index("Table 1") < printed.index("Table 2")
    for published in TABLE_1:
        assert len(rows(printed, published.method)) >= 3  # a row a metric
    assert len(rows(printed, "gknet-s.safetensors")) == 3 + 2  # Table 2 has no PSNR
    assert printed.index("Table 2") < printed.index("as other publications state them")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Table 2 of the paper" in page
    assert page.count("<section") == len(SUBSETS)


def test_any_folder_of_pairs_is_judged_and_bad_ones_are_told(pairs_folder: Path, tmp_path: Path) -> None:
    Image.new("L", (64, 64), 255).save(pairs_folder / "mask" / "large.png")
    done = run("--pairs", pairs_folder, "--skip-bad", "-o", tmp_path)
    (row,) = rows(done.out, "all")
    assert re.match(r"│ all +│ +2 │", row)
    assert "Table 1" not in done.out
    assert done.err.startswith("left out 1 bad file:\n")
    assert "large.png is 64x64 pixels, large.PNG 512x512" in done.err
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["medium.PNG", "small <b>&.v1.PNG"]
    assert "small &lt;b&gt;&amp;.v1.PNG" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("module", "name"), [(weights, "load"), (command, "harmonize_samples")])
def test_ctrl_c_ends_with_one_line_and_leaves_nothing(
    module: ModuleType, name: str, pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_ctrl_c_in(monkeypatch, module, name)
    done = call_command(command.main, "--pairs", pairs_folder, "-o", tmp_path / "report")
    assert (done.code, done.err) == (130, "evaluate: stopped\n")
    assert list((tmp_path / "report").iterdir()) == []


def test_records_are_in_order_and_of_both_composites(small_pool: Path, quick_weights: Path) -> None:
    """A network that returns its input scores what the composite itself does; a trained one does not."""
    samples = some(small_pool, 4)
    untrained = evaluate_samples(Harmonizer(weights.build(replace(preset("gknet-s"), network_size=64))), samples)
    assert [(record.key, record.kind) for record in untrained] == [(sample.key, sample.kind) for sample in samples]
    assert all(record.before == record.after for record in untrained)
    trained = evaluate_samples(Harmonizer(weights.load(quick_weights), "cpu"), samples)
    assert all(record.before != record.after for record in trained)


def test_scores_agree_with_scikit_image(small_pool: Path, quick_weights: Path) -> None:
    harmonizer = Harmonizer(weights.load(quick_weights), "cpu")
    for record, sample, harmonized in harmonize_samples(harmonizer, some(small_pool, 2)):
        inside, real = sample.mask, sample.real
        assert record.share == pytest.approx(np.count_nonzero(inside) / inside.size, abs=1e-12)
        for scores, picture in ((record.before, sample.composite), (record.after, harmonized)):
            assert scores.mse == pytest.approx(mean_squared_error(real, picture), abs=1e-4)
            assert scores.psnr == pytest.approx(peak_signal_noise_ratio(real, picture), abs=1e-4)
            assert scores.fmse == pytest.approx(mean_squared_error(real[inside], picture[inside]), abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--pool", "nowhere"], "nowhere contains no .tar shards"),
        (["--pairs", "nowhere"], "composite is missing"),
        (["--iharmony4", "nowhere"], "HCOCO_test.txt cannot be read"),
        (["--pool", ".", "--weights", "README.md"], "README.md"),
        (["--pool", ".", "-o", "README.md"], "README.md"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    assert command.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ")
    assert told in error
    assert error.count("\n") == 1


def test_nothing_usable_is_an_error_even_with_skipping(
    pairs_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for mask in (pairs_folder / "mask").glob("*.png"):
        mask.write_bytes(b"no picture")
    monkeypatch.setattr(sys, "argv", ["evaluate", "--pairs", str(pairs_folder), "--skip-bad"])
    assert command.main() == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("evaluate: No composite could be used.")
    assert told[1] == "left out 3 bad files:"


@pytest.mark.parametrize(
    "sources",
    [[], ["--pool", ".", "--pairs", "."], ["--pairs", ".", "--size", "512"], ["--pool", ".", "--size", "128"]],
)
def test_exactly_one_source_is_judged_at_a_size_it_has(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", *sources])
    with pytest.raises(SystemExit, match="2"):
        command.main()
