"""What others published for iHarmony4's test lists at 256 x 256, to be printed beside our own figures.

The paper is Shen et al., "Learning Global-aware Kernel for Image Harmonization", ICCV 2023, arXiv 2305.11676. Its
abstract and a few figures of its Table 1 were at hand, the tables themselves were not. So every row says where its
figures were read, and a figure that was not read anywhere is None. Of the ten methods the paper compares with, DCCF is
known from its Table 1, and SCS-Co by the differences its abstract states; the others here are methods that papers of
that time compare with.
"""

from __future__ import annotations

from typing import NamedTuple

_PAPER = "the paper, Table 1 (Shen et al., ICCV 2023)"
_BCMI = "README of github.com/bcmi/Image-Harmonization-Dataset-iHarmony4, commit 67df6bc"
_HARMONY_TRANSFORMER = "README of github.com/zhenglab/HarmonyTransformer, the version of the ICCV 2021 paper"
NOT_READ = "not read from a source we can name"
METHODS = (
    "The paper's tables were not at hand whole: that DCCF and GKNet stand in them is known, the other rows are methods"
    " that papers of its time compare with"
)


class Published(NamedTuple):
    """Means over a group of pictures; None where the figure was not read."""

    mse: float | None = None
    psnr: float | None = None
    fmse: float | None = None


class PublishedRow(NamedTuple):
    """A method's line. figures: by sub-set or foreground share, and "all".   source: where they were read.

    No method's number of parameters or arithmetic was read from a source we can name, so none is told here.
    """

    method: str
    source: str
    figures: dict[str, Published]


def _row(method: str, source: str, **figures: tuple[float | None, ...]) -> PublishedRow:
    return PublishedRow(method, source, {group: Published(*values) for group, values in figures.items()})


TABLE_1 = (
    _row(
        "composite",
        f"MSE and PSNR: {_BCMI}; fMSE: {_HARMONY_TRANSFORMER}",
        HCOCO=(69.37, 33.94, 996.59),
        HAdobe5k=(345.54, 28.16, 2051.61),
        HFlickr=(264.35, 28.32, 1574.37),
        Hday2night=(109.65, 34.01, 1409.98),
        all=(172.47, 31.63, 1376.42),
    ),
    _row(
        "DIH, without semantics",
        _BCMI,
        HCOCO=(51.85, 34.69),
        HAdobe5k=(92.65, 32.28),
        HFlickr=(163.38, 29.55),
        Hday2night=(82.34, 34.62),
        all=(76.77, 33.41),
    ),
    _row(
        "S²AM",
        _BCMI,
        HCOCO=(33.35, 35.96),
        HAdobe5k=(49.30, 35.00),
        HFlickr=(129.30, 30.88),
        Hday2night=(45.19, 35.44),
        all=(48.95, 35.10),
    ),
    _row(
        "DoveNet",
        _BCMI,
        HCOCO=(36.72, 35.83),
        HAdobe5k=(52.32, 34.34),
        HFlickr=(133.14, 30.21),
        Hday2night=(54.05, 35.18),
        all=(52.36, 34.75),
    ),
    _row(
        "BargainNet",
        _BCMI,
        HCOCO=(24.84, 37.03),
        HAdobe5k=(39.94, 35.34),
        HFlickr=(97.32, 31.34),
        Hday2night=(50.98, 35.67),
        all=(37.82, 35.88),
    ),
    _row(
        "Intrinsic (Guo et al.)",
        "README of github.com/zhenglab/IntrinsicHarmony, the version of the CVPR 2021 paper",
        HCOCO=(23.25, 37.61, 386.39),
        HAdobe5k=(42.21, 36.20, 296.76),
        HFlickr=(100.86, 31.74, 676.71),
        Hday2night=(50.64, 36.48, 755.88),
        all=(37.95, 36.53, 399.34),
    ),
    _row("RainNet", NOT_READ),
    _row(
        "iS²AM",
        "README of github.com/SamsungLabs/image_harmonization, commit 486f6b2, the released model iSSAM256",
        HCOCO=(16.48, 39.16),
        HAdobe5k=(22.60, 37.24),
        HFlickr=(69.67, 33.56),
        Hday2night=(40.59, 37.72),
        all=(24.65, 37.95),
    ),
    _row(
        "CDTNet-256",
        "README of github.com/bcmi/CDTNet-High-Resolution-Image-Harmonization, commit 0271836",
        HCOCO=(16.25, 39.15),
        HAdobe5k=(20.62, 38.24),
        HFlickr=(68.61, 33.55),
        Hday2night=(36.72, 37.95),
        all=(23.75, 38.23),
    ),
    _row(
        "D-HT",
        _HARMONY_TRANSFORMER,
        HCOCO=(15.65, 38.99, 286.59),
        HAdobe5k=(34.78, 37.05, 243.02),
        HFlickr=(64.97, 33.55, 464.72),
        Hday2night=(46.60, 37.03, 627.14),
        all=(27.30, 37.78, 299.92),
    ),
    _row(
        "SCS-Co",
        "HDNet's table (Chen et al., arXiv 2211.08639)",
        all=(21.33, 38.75, 248.86),
    ),
    _row("DCCF", _PAPER, all=(22.64, 38.60, 265.41)),
    _row("GKNet", _PAPER, all=(19.90, 39.53, 220.44)),
)
"""By sub-set."""

TABLE_2 = tuple(
    row._replace(figures={group: figures for group, figures in row.figures.items() if group == "all"})
    for row in TABLE_1
)
"""By share of the foreground: nothing of it was read but "all", which is the same pictures as in Table 1."""

TABLE_4 = (
    _row("baseline", NOT_READ),
    _row("+KPB", NOT_READ),
    _row("+LRE", NOT_READ),
    _row("+SCF", f"{_PAPER}: the whole network", all=(19.90, 39.53, 220.44)),
)
"""The ablation, each row with all before it. The table was not at hand; its last row is the network of Table 1."""
