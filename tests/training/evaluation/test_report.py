"""The folder of an evaluation: a line an image, and a page that stands alone."""

from __future__ import annotations

import base64
import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from training.data.sample import Sample
from training.evaluation.cases import Case
from training.evaluation.metrics import Record, Scores, score_picture
from training.evaluation.records import COLUMNS
from training.evaluation.report import Extremes, write_report
from training.evaluation.score_tables import by_kind, change_table

PHOTOGRAPH = np.asarray(Image.fromarray(skimage.data.coffee()).resize((64, 64)))
NASTY = '<script>alert("x")</script> & \udcff.jpg'


def case(key: str, change: float) -> Case:
    """One that holds real pictures, and says its fMSE changed that much."""
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    composite = np.where(mask[:, :, None], PHOTOGRAPH // 2, PHOTOGRAPH)
    scores = score_picture(composite, PHOTOGRAPH, mask)
    record = Record(key, "kind", 0.25, scores, scores._replace(fmse=scores.fmse + change))
    return Case(record, Sample(key, "kind", composite, PHOTOGRAPH, mask), PHOTOGRAPH)


def changes(cases: list[Case]) -> list[float]:
    return [round(case.change, 6) for case in cases]


def test_the_worst_and_the_best_are_kept_and_no_others() -> None:
    every = np.random.default_rng(0).permutation(100)
    extremes = Extremes(5)
    for number in every:
        extremes.offer(case(str(number), float(number)))
        assert len(extremes.worst) <= 5
        assert len(extremes.best) <= 5
    assert changes(extremes.worst) == [99, 98, 97, 96, 95]
    assert changes(extremes.best) == [0, 1, 2, 3, 4]


def test_no_case_is_shown_twice_and_ties_keep_their_order() -> None:
    extremes = Extremes(3)
    for number in range(4):
        extremes.offer(case(f"same-{number}", 7.0))
    assert [case.record.key for case in extremes.worst] == ["same-0", "same-1", "same-2"]
    assert [case.record.key for case in extremes.best] == []
    extremes.offer(case("better", -1.0))
    assert [case.record.key for case in extremes.best] == ["better"]


class Page(HTMLParser):
    """What a page refers to and shows. Fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.headings: list[str] = []
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data.strip())
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    extremes = Extremes(2)
    records = []
    for number, key in enumerate(["a", "b", NASTY, "d", "e"]):
        one = case(key, 10.0 * number - 20)
        records.append(one.record)
        extremes.offer(one)
    tables = [change_table(by_kind(records), "kind")]
    write_report(tmp_path, "weights on <folder>", tables, records, extremes)
    return tmp_path


def test_the_page_stands_alone(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.sources) == 4 * 4
    assert all(source.startswith("data:image/") for source in page.sources)
    assert not re.search(r"https?:|url\(|@import|<link|<script", text)
    assert page.headings == ["Worst cases", "e", "d", "Best cases", "a", "b"]
    assert "+20.0" in text
    assert "5" in page.cells


def test_embedded_pictures_are_the_cases_own(report: Path) -> None:
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    pictures = []
    for source in page.sources[:4]:
        data = base64.b64decode(source.partition("base64,")[2], validate=True)
        pictures.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int))
    composite, harmonized, real, mask = pictures
    shown = case("any", 0)
    for picture, expected in ((composite, shown.sample.composite), (harmonized, shown.harmonized), (real, PHOTOGRAPH)):
        assert np.abs(picture - expected).mean() < 4  # what JPEG loses
    assert np.array_equal(mask[:, :, 0] > 0, shown.sample.mask)


def test_names_of_files_are_text_never_markup(tmp_path: Path) -> None:
    extremes = Extremes(1)
    extremes.offer(case(NASTY, 1.0))
    write_report(tmp_path, NASTY, [], [case(NASTY, 1.0).record], extremes)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "".join(page.headings) == "Worst cases" + NASTY.replace("\udcff", r"\udcff")
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["key"] == NASTY.replace("\udcff", r"\udcff")


def test_scores_are_a_line_an_image(report: Path) -> None:
    with (report / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [row["key"] for row in rows][:2] == ["a", "b"]
    scores = case("a", -20).record
    assert float(rows[0]["foreground_share"]) == 0.25
    assert Scores(*(float(rows[0][f"{name}_before"]) for name in Scores._fields)) == pytest.approx(scores.before)
    assert Scores(*(float(rows[0][f"{name}_after"]) for name in Scores._fields)) == pytest.approx(scores.after)


def test_a_report_that_fails_leaves_the_old_one_and_nothing_half_written(report: Path) -> None:
    before = {path.name: path.read_bytes() for path in report.iterdir()}
    extremes = Extremes()
    broken = case("broken", 1.0)
    extremes.offer(broken._replace(harmonized=np.zeros((4, 4, 7), np.uint8)))  # no picture that could be encoded
    with pytest.raises((TypeError, ValueError)):
        write_report(report, "new", [], [broken.record], extremes)
    assert {path.name: path.read_bytes() for path in report.iterdir()} == before
    assert sorted(before) == ["index.html", "scores.csv", "tables.md"]
