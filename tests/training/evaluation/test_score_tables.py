"""Groups, means, and the published figures they are printed beside."""

from __future__ import annotations

import io

from rich.console import Console

from training.data.iharmony4 import SUBSETS
from training.evaluation.metrics import Record, Scores
from training.evaluation.published import ELSEWHERE, TABLE_1, TABLE_2
from training.evaluation.score_tables import (
    SHARES,
    UNKNOWN,
    ScoreTable,
    by_kind,
    by_share,
    by_source,
    change_table,
    elsewhere_table,
    in_markdown,
    methods_table,
    paper_table,
)


def record(kind: str, share: float, before: float, after: float) -> Record:
    """fMSE as given, MSE a tenth of it."""
    return Record("key", kind, share, Scores(before / 10, 30.0, before), Scores(after / 10, 33.0, after))


RECORDS = [
    record("HCOCO", 0.01, 100, 40),
    record("HFlickr", 0.05, 300, 60),
    record("HCOCO", 0.1499, 200, 80),
    record("HFlickr", 1.0, 500, 520),
]


def test_every_record_is_in_one_group_and_in_all() -> None:
    kinds, shares = by_kind(RECORDS), by_share(RECORDS)
    assert list(kinds) == ["HCOCO", "HFlickr", "all"]
    assert list(shares) == [*SHARES, "all"]
    assert [len(group) for group in shares.values()] == [1, 2, 1, 4]
    assert kinds["all"] == shares["all"] == RECORDS


def test_a_row_shows_means_over_pictures() -> None:
    table = change_table(by_kind(RECORDS), "sub-set")
    assert table.sections[0][0] == [
        "HCOCO", "2", "15.0 → 6.0", "30.00 → 33.00", "150.0 → 60.0", "-60.0 %", "+3.00", "100.0 %",
    ]  # fmt: skip
    assert [row[0] for row in table.sections[1]] == ["all"]


def test_a_picture_that_hardly_gets_worse_is_not_worse() -> None:
    gains = (-0.31, -0.29, 0.0, 2.0)
    records = [RECORDS[0]._replace(after=Scores(1.0, 30.0 + gain, 10.0)) for gain in gains]
    assert change_table({"all": records}, "kind").sections[1][0][-1] == "75.0 %"


def test_sources_are_told_by_the_keys_and_the_largest_comes_first() -> None:
    keys = ["flowers_1", "coco_2", "coco_2", "flowers_3_4", "coco_5"]
    records = [RECORDS[0]._replace(key=key) for key in keys]
    sources = by_source(records)
    assert {source: len(found) for source, found in sources.items()} == {"coco": 3, "flowers": 2, "all": 5}
    assert list(sources) == ["coco", "flowers", "all"]


def test_groups_without_pictures_or_without_error_show_dashes() -> None:
    shares = by_share([record("x", 0.01, 0, 0)])
    rows = [row for rows in change_table(shares, "foreground share").sections for row in rows]
    assert rows[0][5] == UNKNOWN
    assert rows[1][1:] == ["0", *[UNKNOWN] * 6]


def test_our_rows_stand_below_the_published_ones() -> None:
    kinds = by_kind(RECORDS)
    groups = {subset: kinds.get(subset, []) for subset in (*SUBSETS, "all")}
    table = paper_table(groups, TABLE_1, "Table 1", "ours.safetensors")
    pictures, *metrics = table.sections
    assert pictures == [["pictures", "2", "0", "2", "0", "4"]]
    for rows in metrics:
        methods = [row[0] for row in rows[1:]]
        assert methods == [*(row.method for row in TABLE_1), "Composite, measured here", "ours.safetensors"]
        assert all(len(row) == 6 for row in rows)
    fmse = metrics[2]
    assert fmse[-2][1:] == ["150.00", UNKNOWN, "400.00", UNKNOWN, "275.00"]
    assert fmse[-1][1:] == ["60.00", UNKNOWN, "290.00", UNKNOWN, "175.00"]
    assert fmse[-3][1:] == ["222.31", "138.22", "372.90", "546.06", "220.44"]


def test_table_2_has_no_psnr_as_the_paper_states_none() -> None:
    shares = by_share(RECORDS)
    table = paper_table({share: shares[share] for share in SHARES}, TABLE_2, "Table 2", "ours")
    pictures, mse, fmse = table.sections
    assert pictures[0][1:] == ["1", "2", "1"]
    assert [mse[0][0], fmse[0][0]] == ["MSE", "fMSE"]
    assert fmse[-3] == ["GKNet", "244.06", "200.34", "188.75"]
    assert fmse[-1] == ["ours", "40.00", "70.00", "520.00"]


def test_what_others_state_is_kept_apart_and_every_row_names_its_source() -> None:
    table = elsewhere_table({subset: [] for subset in (*SUBSETS, "all")})
    psnr, fmse = table.sections[1:]
    assert len(psnr) == 1 + len(ELSEWHERE)
    for row, known in zip(psnr[1:], ELSEWHERE, strict=True):
        mark = row[0].rsplit(" ", 1)[1]
        assert f"{mark} {known.source}." in table.notes
        assert row[-1] == f"{known.figures['all'].psnr:.2f}"
    assert [row[0].split(" [")[0] for row in fmse[1:]] == ["IIH", "D-HT"]


def test_tables_are_printed_as_they_are() -> None:
    """Names may hold what rich would take for markup."""
    printed = io.StringIO()
    change_table(by_kind([record("[bold]dogs[/]", 0.1, 100, 40)]), "kind").show(Console(file=printed, width=130))
    assert "│ [bold]dogs[/] │" in printed.getvalue()


def test_methods_stand_below_the_untouched_composites() -> None:
    methods = {
        "old": by_share(RECORDS),
        "new": by_share([RECORDS[0]._replace(after=Scores(1.0, 40.0, 10.0)), *RECORDS[1:]]),
    }
    table = methods_table(methods, "foreground share", ["A note."])
    pictures, *metrics = table.sections
    assert pictures == [["pictures", "1", "2", "1", "4"]]
    assert [[row[0] for row in rows] for rows in metrics] == [
        ["MSE", "untouched", "old", "new"], ["PSNR dB", "untouched", "old", "new"], ["fMSE", "untouched", "old", "new"],
    ]  # fmt: skip
    assert [row[1] for row in metrics[2]] == ["", "100.00", "40.00", "10.00"]
    assert metrics[2][1][4] == "275.00"
    assert table.notes == ["A note."]


def test_markdown_holds_the_whole_table() -> None:
    table = ScoreTable(
        title="T", headings=["", "all"], sections=[[["MSE", ""]], [["a|b", "1.0"]]], notes=["One.", "Two."]
    )
    assert (
        in_markdown(table) == "**T**\n\n|  | all |\n| --- | ---: |\n| **MSE** |  |\n| a\\|b | 1.0 |\n\nOne.<br>\nTwo.\n"
    )
