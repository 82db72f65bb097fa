"""Scores of the three kinds of data, in one process and through the real command."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

from gknet import Harmonizer, preset
from gknet.network import weights
from tests.training.interrupting import interrupt_command
from training import evaluate as command
from training.data.iharmony4 import SUBSETS
from training.data.judging_sets.validation import open_pool
from training.data.sample import Sample
from training.data.synthesis.recoloring import KINDS
from training.evaluation.cases import evaluate_samples, harmonize_samples
from training.evaluation.published import TABLE_1

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "training.evaluate"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command's results; it must have succeeded."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def rows(printed: str, name: str) -> list[str]:
    return re.findall(rf"^│ {re.escape(name)} .*$", printed, re.MULTILINE)


def some(pool: Path, count: int) -> list[Sample]:
    _, samples = open_pool(pool)
    return [sample for _, sample in zip(range(count), samples, strict=False)]


def test_a_pool_is_judged_by_kind_foreground_share_and_source(pool: Path, tmp_path: Path) -> None:
    printed = run("--pool", pool, "-o", tmp_path / "new" / "report").stdout
    for kind in KINDS:
        (row,) = rows(printed, kind)
        assert row.count("→") == 3
    assert len(rows(printed, "all")) == 3
    assert len(rows(printed, "0–5 %") + rows(printed, "5–15 %") + rows(printed, "15–100 %")) == 3
    _, samples = open_pool(pool)
    for source in {sample.key.partition("_")[0] for sample in samples}:
        assert len(rows(printed, source)) == 1
    assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == [
        "index.html",
        "scores.csv",
        "tables.md",
    ]
    with (tmp_path / "new" / "report" / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert {row["kind"] for row in csv.DictReader(file)} <= set(KINDS)


def test_a_pool_can_be_judged_at_full_resolution(pool: Path, tmp_path: Path) -> None:
    printed = run("--pool", pool, "--size", "384", "-o", tmp_path).stdout
    assert printed.count("384 x 384") == 5
    assert "256 x 256" not in printed
    _, larger = open_pool(pool, 384)
    sample = next(larger)
    assert sample.composite.shape == sample.real.shape == (384, 384, 3)
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    harmonized = Harmonizer.from_pretrained(device="cpu")(sample.composite, sample.mask)
    fmse = mean_squared_error(sample.real[sample.mask], harmonized[sample.mask])
    assert float(row["fmse_after"]) == pytest.approx(fmse, abs=1e-3)


def test_iharmony4_is_printed_beside_the_papers_tables(iharmony4_tree: Path, tmp_path: Path) -> None:
    printed = run("--iharmony4", iharmony4_tree, "-o", tmp_path).stdout
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
    (row,) = rows(done.stdout, "all")
    assert re.match(r"│ all +│ +2 │", row)
    assert "Table 1" not in done.stdout
    assert done.stderr.startswith("left out 1 bad file:\n")
    assert "large.png is 64x64 pixels, large.PNG 512x512" in done.stderr
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["medium.PNG", "small <b>&.v1.PNG"]
    assert "small &lt;b&gt;&amp;.v1.PNG" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_ctrl_c_ends_with_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "report"
    for name in ("composite", "mask", "real"):  # a thousand pairs: more than are done before the signal comes
        (tmp_path / name).mkdir()
        picture = Image.new("L" if name == "mask" else "RGB", (64, 64))
        picture.paste(255 if name == "mask" else (200, 90, 30), (16, 16, 48, 48))
        picture.save(tmp_path / name / "0000.png")
        for index in range(1, 1000):
            os.link(tmp_path / name / "0000.png", tmp_path / name / f"{index:04}.png")
    assert interrupt_command("training.evaluate", "--pairs", tmp_path, out=out) == (130, "evaluate: stopped\n")
    assert list(out.iterdir()) == []


@pytest.mark.usefixtures("one_thread")
def test_records_are_in_order_and_of_both_composites(pool: Path) -> None:
    """A network that returns its input scores what the composite itself does; the shipped one does not."""
    samples = some(pool, 8)
    untrained = evaluate_samples(Harmonizer(weights.build(preset("gknet-s"))), samples)
    assert [(record.key, record.kind) for record in untrained] == [(sample.key, sample.kind) for sample in samples]
    assert all(record.before == record.after for record in untrained)
    shipped = evaluate_samples(Harmonizer.from_pretrained(device="cpu"), samples)
    assert all(record.before != record.after for record in shipped)


@pytest.mark.usefixtures("one_thread")
def test_scores_agree_with_scikit_image(pool: Path) -> None:
    for record, sample, harmonized in harmonize_samples(Harmonizer.from_pretrained(device="cpu"), some(pool, 4)):
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
