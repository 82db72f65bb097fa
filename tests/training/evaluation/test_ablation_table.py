"""The figures of Table 4, from records whose means are known."""

from __future__ import annotations

import pytest

from training.ablate import ROWS
from training.engine.run import TrainingRun
from training.evaluation.ablation_table import AblationRun, ablation_table
from training.evaluation.metrics import Record, Scores

RUN = TrainingRun(preset="gknet-s", size=32)


def records(*fmse: float) -> list[Record]:
    """Two composites a photograph, untouched at 100."""
    return [
        Record(f"photograph {index // 2}", "mkl", 0.1, Scores(10, 30, 100), Scores(value / 10, 33, value))
        for index, value in enumerate(fmse)
    ]


def rows(first: list[list[Record]], others: list[list[Record]]) -> dict[str, list[AblationRun]]:
    seeds = dict.fromkeys(ROWS, others) | {"baseline": first}
    return {parts: [AblationRun(one, 60.0) for one in found] for parts, found in seeds.items()}


def test_means_spread_and_paired_differences() -> None:
    base = [records(50, 60, 70, 80), records(52, 62, 72, 82)]
    better = [records(40, 50, 70, 80), records(46, 56, 68, 78)]
    table = ablation_table(RUN, rows(base, better), None, None)
    given, trained, _ = table.sections
    assert given[0][:7] == ["untouched", "", "", "10.0", "100.0", "100.0 %", "30.00"]
    assert len(given) == 1
    assert trained[0][3:] == ["6.6 ± 0.1", "66.0 ± 1.4", "66.0 %", "33.00 ± 0.00", "", "", "60"]
    # Photograph 0 gains 10 and 6, photograph 1 nothing and 4: 8 and 2 in the mean over seeds.
    assert trained[1][3:] == ["6.1 ± 0.1", "61.0 ± 1.4", "61.0 %", "33.00 ± 0.00", "-5.0 ± 3.0", "-5.0, -5.0", "60"]
    assert trained[2][7] == "+0.0 ± 0.0"
    assert "from nothing" in table.title
    assert "4 composites" in table.title


def test_the_baseline_is_compared_with_what_all_rows_start_from() -> None:
    seeds = [records(50, 60, 70, 80), records(52, 62, 72, 82)]
    table = ablation_table(RUN, rows(seeds, seeds), records(55, 65, 75, 85), "some.safetensors 01234567")
    given, trained, _ = table.sections
    assert given[1][:7] == ["statistics' path", "", "", "7.0", "70.0", "70.0 %", "33.00"]
    assert trained[0][7:9] == ["-4.0 ± 0.0", "-5.0, -3.0"]
    assert "from the statistics' path of some.safetensors 01234567" in table.title
    assert any("not what each reaches by itself" in note for note in table.notes)


def test_one_seed_has_no_spread_and_one_photograph_no_error() -> None:
    seeds = [records(50, 60)]
    trained = ablation_table(RUN, rows(seeds, seeds), None, None).sections[1]
    assert trained[1][3:] == ["5.5", "55.0", "55.0 %", "33.00", "+0.0 ± –", "+0.0", "60"]


def test_rows_grow_with_their_parts_and_the_papers_stand_below() -> None:
    seeds = [records(50, 60)]
    table = ablation_table(RUN, rows(seeds, seeds), None, None)
    _, trained, paper = table.sections
    sizes = [float(row[1].removesuffix(" M")) for row in trained]
    assert sizes == sorted(set(sizes))
    assert float(trained[0][2]) < float(trained[-1][2])
    assert [row[3:7:3] for row in paper] == [
        ["27.27", "37.83"],
        ["21.42", "38.68"],
        ["20.50", "39.30"],
        ["19.90", "39.53"],
    ]
    assert [row[4] for row in paper] == ["280.56", "235.72", "229.63", "220.44"]
    assert all(len(row) == len(table.headings) for rows in table.sections for row in rows)


@pytest.mark.parametrize("parts", ROWS)
def test_a_run_can_train_one_row_by_itself(parts: str) -> None:
    run = TrainingRun(preset="gknet-s", parts=parts)
    assert run.network().kernel_prediction == (parts != "baseline")
    assert run.network().selective_correlation == (parts == "+SCF")
