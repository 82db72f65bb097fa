"""Regions that the network treats alike: clusters of its kernels (the paper, Eq. 6 and Fig. 8)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import SubFigure

from gknet.inspect.drawing import draw_outline, draw_panel, get_extent, limit_ratio, make_backdrop, make_figure, to_png
from gknet.inspect.page import Plate
from gknet.inspect.record import KernelField, Record

_NAMES = "ABCDE"
_PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
"""Colors that are distinguishable with color blindness (Okabe and Ito)."""
_LIGHT = {"#e69f00", "#cc79a7"}
_LEARNED_FROM = 4096
"""Number of pixels that k-means is fitted to; all are then assigned."""
_AT_A_TIME = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """A level's pixels clustered by their kernels, sorted by their share of the object, largest first.

    labels: (H, W) int, 0 the first.   kernels: (k, C, N, N) float32, each cluster's mean, oriented like the picture.
    share, on_object: (k,), share of the picture in the cluster, and share of the cluster on the object; 0 to 1.
    """

    labels: np.ndarray
    kernels: np.ndarray
    share: np.ndarray
    on_object: np.ndarray


def cluster_kernels(level: KernelField, mask: np.ndarray) -> Clusters:
    """Cluster a level's kernels by k-means, into five clusters or as many as there are different kernels.

    mask: (H, W) of the level, in [0, 1].
    """
    from sklearn.cluster import KMeans  # takes more than a second: only where it is needed
    from sklearn.exceptions import ConvergenceWarning

    height, width = mask.shape
    count = height * width
    learned_from = level.compute_kernels(np.random.default_rng(0).permutation(count)[:_LEARNED_FROM])
    means = KMeans(min(len(_PALETTE), count), n_init=2, random_state=0)
    with warnings.catch_warnings():
        # A plain picture may have fewer different kernels than that; empty clusters are dropped.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means.fit(learned_from.reshape(len(learned_from), -1))
    labels = np.empty(count, np.intp)
    total = np.zeros((len(_PALETTE), *learned_from.shape[1:]))
    for first in range(0, count, _AT_A_TIME):
        pixels = np.arange(first, min(first + _AT_A_TIME, count))
        kernels = level.compute_kernels(pixels)
        labels[pixels] = means.predict(kernels.reshape(len(pixels), -1))
        for cluster in range(len(_PALETTE)):
            total[cluster] += kernels[labels[pixels] == cluster].sum(axis=0)
    sizes = np.bincount(labels, minlength=len(_PALETTE))
    inside = np.bincount(labels, mask.ravel(), minlength=len(_PALETTE)) / sizes.clip(1)
    order = [cluster for cluster in np.argsort(-inside, kind="stable") if sizes[cluster]]
    place = np.zeros(len(_PALETTE), np.intp)
    place[order] = np.arange(len(order))
    return Clusters(
        labels=place[labels].reshape(height, width),
        kernels=(total[order] / sizes[order][:, None, None, None]).astype(np.float32),
        share=sizes[order] / count,
        on_object=inside[order],
    )


def measure_strength(level: KernelField) -> np.ndarray:
    """Return (H, W): the length of the modulation's change to each pixel's feature, relative to itself plus the
    feature's.
    """
    moved, length = (np.linalg.norm(part, axis=0) for part in (level.after - level.before, level.before))
    return np.asarray(moved / (moved + length).clip(1e-6))


def draw_kernel_clusters(record: Record, number: int) -> Plate:
    """Draw a level's clusters over the picture, their kernels, and the strength of the modulation."""
    level = record.kernels[number]
    height, width = level.before.shape[1:]
    inside = record.measure_object(height, width)
    clusters, strength = cluster_kernels(level, inside), measure_strength(level)
    pictures = 4.7 * limit_ratio(record.composite) + 1.3
    figure = make_figure(pictures + 5.7)
    grid = figure.add_gridspec(3, 1, height_ratios=[pictures, 3.0, 2.7])
    top, middle, bottom = (figure.add_subfigure(grid[row]) for row in range(3))
    where, how_much = top.subplots(1, 2)
    _draw_places(where, record, clusters)
    _draw_strength(top, how_much, record, strength)
    _draw_kernels(middle, clusters, level.residual)
    _draw_channels(bottom, clusters, level.residual)
    size = clusters.kernels.shape[2]
    return Plate(
        name=f"kernels-{number + 1}",
        title=f"Regions treated alike: level {number + 1} of {len(record.kernels)} ({width} × {height} pixels)",
        text=(
            f"Kernels of {size} × {size} pixels, in {len(clusters.share)} groups. Group A covers "
            f"{clusters.share[0]:.0%} of the picture, and {clusters.on_object[0]:.0%} of it is on the object. There "
            f"the kernels contribute {np.average(strength, weights=inside + 1e-9):.0%} of the result, elsewhere "
            f"{np.average(strength, weights=1 - inside + 1e-9):.0%}."
        ),
        png=to_png(figure),
    )


def _draw_places(axes: Axes, record: Record, clusters: Clusters) -> None:
    draw_panel(axes, "pixels with similar kernels", make_backdrop(record.composite))
    axes.imshow(
        clusters.labels,
        cmap=ListedColormap(_PALETTE),
        vmin=-0.5,
        vmax=len(_PALETTE) - 0.5,
        alpha=0.6,
        aspect="auto",
        extent=get_extent(record.composite),
        interpolation="nearest",
    )
    draw_outline(axes, record.mask)


def _draw_strength(figure: SubFigure, axes: Axes, record: Record, strength: np.ndarray) -> None:
    draw_panel(axes, "the kernels’ contribution to the result", make_backdrop(record.composite))
    drawn = axes.imshow(
        100 * strength,
        vmin=0,
        vmax=100,
        cmap="inferno",
        alpha=0.85,
        aspect="auto",
        extent=get_extent(record.composite),
        interpolation="nearest",
    )
    draw_outline(axes, record.mask)
    bar = figure.colorbar(drawn, ax=figure.axes, location="bottom", shrink=0.6, aspect=40)
    bar.set_label("right: % contributed by the kernels (0: nothing; 50: as much as the original)")


def _draw_kernels(figure: SubFigure, clusters: Clusters, residual: bool) -> None:
    means = clusters.kernels.mean(axis=1)  # (k, N, N)
    scale = _make_even_scale(means)
    axes = figure.subplots(1, len(_PALETTE))
    added = "what each group's mean kernel adds to the pixel itself" if residual else "each group's mean kernel"
    figure.suptitle(f"{added}, averaged over the channels", fontsize=11, fontweight="bold")
    for cluster, place in enumerate(axes):
        if cluster >= len(means):
            place.set_axis_off()
            continue
        place.imshow(means[cluster], norm=scale, cmap="RdBu_r")
        place.set_title(
            f"{_NAMES[cluster]}: {clusters.share[cluster]:.0%} of the picture,\n"
            f"{clusters.on_object[cluster]:.0%} of it on the object",
            fontsize=9,
            color="black" if _PALETTE[cluster] in _LIGHT else "white",
            backgroundcolor=_PALETTE[cluster],
        )
        place.set_xticks([])
        place.set_yticks([])
    figure.colorbar(ScalarMappable(scale, "RdBu_r"), ax=axes, shrink=0.7).set_label("weight (no unit)")


def _draw_channels(figure: SubFigure, clusters: Clusters, residual: bool) -> None:
    sums = clusters.kernels.sum(axis=(2, 3))  # (k, C)
    if not residual:
        sums = sums - 1  # a kernel that changes nothing adds up to 1
    axes = figure.subplots()
    scale = _make_even_scale(sums)
    axes.imshow(sums[:, np.argsort(sums[0])], norm=scale, cmap="RdBu_r", aspect="auto", interpolation="nearest")
    title = "change of each channel by each group: stronger (red) or weaker (blue)"
    axes.set_title(title, fontsize=11, fontweight="bold")
    axes.set_yticks(range(len(sums)), labels=list(_NAMES[: len(sums)]))
    axes.set_xlabel(f"the {sums.shape[1]} channels, in the order of group A")
    axes.set_xticks([])
    bar = figure.colorbar(ScalarMappable(scale, "RdBu_r"), ax=axes, extend="both")
    bar.set_label("sum of the weights\n(0: unchanged)")


def _make_even_scale(values: np.ndarray) -> Normalize:
    """Return a scale symmetric around zero; one value in a hundred may lie beyond."""
    most = max(float(np.quantile(np.abs(values), 0.99)), 1e-6)
    return Normalize(-most, most)
