"""The files, tables and the script of docs/training.md and docs/results.md are what they say."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from training.data.shards import find_shards, is_validation, read_photographs

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("training.md", "results.md")}
TEXT = "\n".join(PAGES.values()).replace("\\\n", " ")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:training|gknet)/[\w/.-]+\.\w+", TEXT))))
def test_a_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_every_config_is_described() -> None:
    configs = {path.name for path in (ROOT / "training" / "configs").glob("*.toml")}
    assert set(re.findall(r"`(\w+\.toml)`", PAGES["training.md"])) == configs


def test_the_script_packs_photographs_that_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = re.search(r"```python\n(.*?)```", PAGES["training.md"], re.DOTALL)
    assert script is not None
    names = [name for name in ("dog", "cat", "cup", "fox", "hen") if not is_validation(name)]
    (tmp_path / "photographs").mkdir()
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for name in names:
        Image.new("RGB", (600, 900), (200, 90, 30)).save(tmp_path / "photographs" / f"{name}.JPG", exif=turned)
        mask = Image.new("L", (900, 600))
        mask.paste(255, (300, 200, 600, 400))
        mask.save(tmp_path / "photographs" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    exec(script[1], {})
    photographs = read_photographs(find_shards([tmp_path / "SHARDS"]), 64, validation=False)
    assert photographs.keys == sorted(names)
    assert photographs.masks.mean() / 255 == pytest.approx(1 / 9, abs=0.01)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "results").glob("*.csv")), ids=lambda path: path.name)
def test_a_breakdown_is_whole_and_named_in_the_results(path: Path) -> None:
    assert f"results/{path.name}" in PAGES["results.md"]
    with path.open(encoding="utf-8", newline="") as file:
        heading, *rows = csv.reader(file)
    assert rows
    assert all(len(row) == len(heading) for row in rows)


def test_the_table_by_kind_is_the_one_of_the_breakdown() -> None:
    with (ROOT / "docs" / "results" / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["size"], row["grouped_by"]) == ("256", "kind")]
    assert len(rows) == 7
    for row in rows:
        cells = (f"{row[f'{metric}_before']} → {row[f'{metric}_after']}" for metric in ("mse", "psnr", "fmse"))
        assert f"| {' | '.join(cells)} |" in PAGES["results.md"], row["group"]
