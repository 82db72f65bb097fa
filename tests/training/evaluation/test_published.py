"""The paper's tables, number by number, against what was typed from the paper, and whether its figures add up."""

from __future__ import annotations

import pytest

from training.data.iharmony4 import SUBSETS
from training.evaluation.published import ELSEWHERE, TABLE_1, TABLE_2, TABLE_3, TABLE_4, PublishedRow, PublishedScores

# Columns as printed: PSNR, MSE and fMSE of HCOCO, HAdobe5k, HFlickr, Hday2night and all.
TYPED_1 = """
Composite 33.94 69.37 996.59 28.16 345.54 2051.61 28.32 264.35 1574.37 34.01 109.65 1409.98 31.63 172.47 1376.42
DIH 34.69 51.85 798.99 32.28 92.65 593.03 29.55 163.38 1099.13 34.62 82.34 1129.40 33.41 76.77 773.18
S²AM 35.47 41.07 542.06 33.77 63.40 404.62 30.03 143.45 785.65 35.69 50.87 835.06 34.35 59.67 594.67
DoveNet 35.83 36.72 551.01 34.34 52.32 380.39 30.21 133.14 827.03 35.27 51.95 1075.71 34.76 52.33 532.62
IIH 37.16 24.92 416.38 35.20 43.02 284.21 31.34 105.13 716.60 35.96 55.53 797.04 35.90 38.71 400.29
RAINNet 37.08 29.52 501.17 36.22 43.35 317.35 31.64 110.59 688.40 34.83 57.40 916.48 36.12 40.29 469.60
iDIH-HRNet 39.16 16.48 266.19 38.08 21.88 173.96 33.13 69.67 443.65 37.72 40.59 590.97 38.19 24.44 264.96
D-HT 38.76 16.89 299.30 36.88 38.53 265.11 33.13 74.51 515.45 37.10 53.01 704.42 37.55 30.30 320.78
Harmonizer 38.77 17.34 298.42 37.64 21.89 170.05 33.63 64.81 434.06 37.56 33.14 542.07 37.84 24.26 280.51
DCCF 39.72 14.55 267.79 38.24 20.20 171.01 33.72 66.20 440.84 38.18 51.40 629.67 38.60 22.64 265.41
SCS-Co 39.88 13.58 245.54 38.29 21.01 165.48 34.22 55.83 393.72 37.83 41.75 606.80 38.75 21.33 248.86
GKNet 40.32 12.95 222.31 39.97 17.84 138.22 34.45 57.58 372.90 38.47 42.76 546.06 39.53 19.90 220.44
"""
# MSE and fMSE of 0–5 %, 5–15 % and 15–100 %.
TYPED_2 = """
DIH 18.92 799.17 64.23 725.86 228.86 768.89
S²AM 15.09 623.11 48.33 540.54 117.62 592.83
DoveNet 14.03 591.88 44.90 504.42 152.07 505.82
RainNet 11.66 550.38 32.05 378.69 117.41 389.80
iS²AM 6.73 294.76 18.03 204.69 63.02 207.82
GKNet 5.36 244.06 17.46 200.34 57.31 188.75
"""
TYPED_3 = "Composite 0.416 DoveNet 0.686 RainNet 0.972 iDIH-HRNet 1.532 GKNet 1.944"
# MSE, PSNR and fMSE of all.
TYPED_4 = """
baseline 27.27 37.83 280.56
+KPB 21.42 38.68 235.72
+LRE 20.50 39.30 229.63
+SCF 19.90 39.53 220.44
"""

PICTURES = {"HCOCO": 4283, "HAdobe5k": 2160, "HFlickr": 828, "Hday2night": 133}
"""In the official test lists."""

DO_NOT_ADD_UP = {
    "DIH": {"fmse"},
    "S²AM": {"mse", "fmse"},
    "DoveNet": {"fmse"},
    "IIH": {"mse", "fmse"},
    "RAINNet": {"mse", "psnr", "fmse"},
    "iDIH-HRNet": {"psnr"},
    "SCS-Co": {"mse", "fmse"},
}
"""Figures of the paper's Table 1 for "all" that are not the weighted means of its sub-sets."""


def typed(text: str) -> dict[str, list[float]]:
    return {method: list(map(float, figures)) for method, *figures in map(str.split, text.strip().splitlines())}


def figures(rows: tuple[PublishedRow, ...], groups: tuple[str, ...], metrics: str) -> dict[str, list[float]]:
    assert all(tuple(row.figures) == groups for row in rows)
    return {
        row.method: [getattr(row.figures[group], metric) for group in groups for metric in metrics.split()]
        for row in rows
    }


def test_table_1_is_the_papers() -> None:
    assert figures(TABLE_1, (*SUBSETS, "all"), "psnr mse fmse") == typed(TYPED_1)


def test_table_2_is_the_papers() -> None:
    assert figures(TABLE_2, ("0–5 %", "5–15 %", "15–100 %"), "mse fmse") == typed(TYPED_2)
    assert all(figures.psnr is None for row in TABLE_2 for figures in row.figures.values())


def test_table_3_is_the_papers() -> None:
    words = TYPED_3.split()
    assert dict(zip(words[::2], map(float, words[1::2]), strict=True)) == TABLE_3


def test_table_4_is_the_papers() -> None:
    assert figures(TABLE_4, ("all",), "mse psnr fmse") == typed(TYPED_4)


def test_the_whole_network_is_the_same_in_tables_1_and_4() -> None:
    assert TABLE_1[-1].figures["all"] == TABLE_4[-1].figures["all"] == PublishedScores(19.90, 39.53, 220.44)


@pytest.mark.parametrize("row", [*TABLE_1, *ELSEWHERE], ids=lambda row: f"{row.method}, {row.source[:6]}")
def test_a_figure_of_all_is_the_mean_of_the_sub_sets_unless_the_paper_says_otherwise(row: PublishedRow) -> None:
    """A figure mistyped, or read from the wrong row, would not add up."""
    off = set()
    for metric in PublishedScores._fields:
        whole = getattr(row.figures["all"], metric)
        if whole is not None:
            mean = sum(getattr(row.figures[subset], metric) * count for subset, count in PICTURES.items()) / 7404
            if whole != pytest.approx(mean, rel=1e-3):
                off.add(metric)
    assert off == (DO_NOT_ADD_UP.get(row.method, set()) if row in TABLE_1 else set())
