"""Classify what went wrong with a foreground by rules on numbers: each kind of failure has a name and a stated bound.

Levels are 8-bit levels; a root mean square of levels is taken over pixels and channels, or over channels for means.
There is no rule for skin and faces: by colour alone it would also match sand, wood and brick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch

from gknet.color.srgb import srgb_to_lab
from training.evaluation.failures.error_parts import Parts, split_error

VISIBLE = 8.0
"""Levels. In mid greys this is three units of L*, where two plain patches side by side become distinguishable."""
LEADING = 0.2
"""Smallest share of the remaining error at which a part is named; rarely more than two parts reach it."""
UNDER, OVER = 0.75, 1.25
"""Bounds on the shift of the mean colour, as a share of the needed shift. The typical shift is 24 levels (median); a
quarter of it, 6 levels, is the smallest distinguishable error.
"""
ALIKE = 0.5
"""Smallest cosine of two directions that count as the same: 60 degrees. Beyond it, most of the shift is useless."""
NEUTRAL = 8.0
"""Chroma (CIELAB). An object with half of its pixels below it looks white, grey or black."""
DRIFT = 6.0
"""Distance in a*b*. On a grey object it is a clearly visible tint."""
CLIPPED = 0.02
"""Share of the foreground's pixels. Sparkles and black gaps stay below it; one composite in thirty exceeds it."""
LARGE_CHANGE = 45.0
"""Levels. The network changes nine in ten composites, which do need it, by less."""
TINY, HUGE = 0.05, 0.5
"""Shares of the picture: the paper's smallest group, and the size from which little of the scene is left."""
DARK = 25.0
"""Mean L* of the background: less than 5 % of white in linear light. Night, or a black studio."""
SATURATED = 35.0
"""Mean chroma of the background: flowers, neon, a lawn in the sun. One scene in twelve exceeds it."""
FAR_OFF = 4000.0
"""fMSE of the untouched composite. One in ten exceeds it."""


class Scene(NamedTuple):
    """Properties of the case itself.

    share: share of the picture that is foreground.
    lightness: mean L* of the background.
    saturation: mean chroma of the background.
    """

    share: float
    lightness: float
    saturation: float


class Result(NamedTuple):
    """A harmonized composite compared with the ground truth.

    fmse_before, fmse_after: of the untouched and the harmonized composite.
    parts: parts of fmse_after.
    needed_shift, actual_shift: how far the mean colour should have moved and did, in levels.
    along: the actual shift along the needed one, as a share of it; 1 is right.
    cosine: cosine of the angle between both; both are 0 if a shift has no direction.
    chroma: the real object's median.
    drift: distance of the mean colour from the real one's, in a*b*.
    clipped: share of the pixels that are at 0 or 255 in some channel, but not in the real photograph.
    """

    fmse_before: float
    fmse_after: float
    parts: Parts
    needed_shift: float
    actual_shift: float
    along: float
    cosine: float
    chroma: float
    drift: float
    clipped: float


class Change(NamedTuple):
    """A harmonized object without a ground truth.

    size: of the change, in levels.
    place: the part that varies across the object beyond its dependence on colour, in levels.
    chroma: the pasted object's median.
    drift: change of its mean colour, in a*b*.
    clipped: share of the pixels that became 0 or 255 in some channel.
    """

    size: float
    place: float
    chroma: float
    drift: float
    clipped: float


Measured = TypeVar("Measured", Scene, Result, Change)


class Kind(NamedTuple, Generic[Measured]):
    """A kind of failure or case. rule: the rule in words. applies: the rule as a function."""

    rule: str
    applies: Callable[[Measured], bool]


def _mean_is_off(result: Result) -> bool:
    return result.parts.mean >= VISIBLE**2


def _needs_shift(result: Result) -> bool:
    return _mean_is_off(result) and result.needed_shift >= VISIBLE


def _moves_right_way(result: Result) -> bool:
    return _needs_shift(result) and result.actual_shift >= VISIBLE and result.cosine >= ALIKE


def _is_leading(part: float, result: Result) -> bool:
    return part >= max(VISIBLE**2, LEADING * result.fmse_after)


FAILURES: Mapping[str, Kind[Result]] = {
    "unmoved": Kind(
        f"mean colour should have moved, and moved by less than {VISIBLE:g} levels",
        lambda result: _needs_shift(result) and result.actual_shift < VISIBLE,
    ),
    "under-correction": Kind(
        f"mean colour moved the right way, but less than {UNDER:g} of it",
        lambda result: _moves_right_way(result) and result.along < UNDER,
    ),
    "over-correction": Kind(
        f"mean colour moved the right way, but more than {OVER:g} of it",
        lambda result: _moves_right_way(result) and result.along > OVER,
    ),
    "wrong direction": Kind(
        "mean colour moved more than 60° off the right way",
        lambda result: _needs_shift(result) and result.actual_shift >= VISIBLE and result.cosine < ALIKE,
    ),
    "still off": Kind(
        f"mean colour moved {UNDER:g} to {OVER:g} of the right way, and is still visibly off",
        lambda result: _moves_right_way(result) and UNDER <= result.along <= OVER,
    ),
    "needless change": Kind(
        f"mean colour was right within {VISIBLE:g} levels, and was moved away",
        lambda result: _mean_is_off(result) and result.needed_shift < VISIBLE,
    ),
    "contrast": Kind(
        "error that a 3×4 matrix would take away beyond the mean colour: contrast, saturation",
        lambda result: _is_leading(result.parts.affine, result),
    ),
    "curve": Kind(
        "error that a curve a channel would take away beyond that",
        lambda result: _is_leading(result.parts.curve, result),
    ),
    "patchy": Kind(
        "error that a matrix varying across the object would take away beyond that",
        lambda result: _is_leading(result.parts.place, result),
    ),
    "detail": Kind(
        "error that is left then",
        lambda result: _is_leading(result.parts.rest, result),
    ),
    "tinted neutral": Kind(
        f"a grey object (median chroma below {NEUTRAL:g}) whose mean colour is {DRIFT:g} or more off in a*b*",
        lambda result: result.chroma < NEUTRAL and result.drift >= DRIFT,
    ),
    "clipped": Kind(
        f"{100 * CLIPPED:g} % or more of the object's pixels lost to black or full colour",
        lambda result: result.clipped >= CLIPPED,
    ),
    "made worse": Kind(
        "fMSE higher than that of the untouched composite",
        lambda result: result.fmse_after > result.fmse_before,
    ),
    "far off before": Kind(
        f"fMSE of the untouched composite above {FAR_OFF:g}; no failure, but much to do",
        lambda result: result.fmse_before > FAR_OFF,
    ),
}
"""Kinds of failure of a composite with a ground truth. The first six concern the mean colour, exclude one another and
need an error of the mean of VISIBLE. Kinds for parts need the same error, and LEADING.
"""

DOUBTS: Mapping[str, Kind[Change]] = {
    "large change": Kind(
        f"changed by {LARGE_CHANGE:g} levels or more",
        lambda change: change.size >= LARGE_CHANGE,
    ),
    "tinted neutral": Kind(
        f"a grey object (median chroma below {NEUTRAL:g}) whose mean colour moved by {DRIFT:g} or more in a*b*",
        lambda change: change.chroma < NEUTRAL and change.drift >= DRIFT,
    ),
    "clipped": Kind(
        f"{100 * CLIPPED:g} % or more of the object's pixels lost to black or full colour",
        lambda change: change.clipped >= CLIPPED,
    ),
    "patchy": Kind(
        f"the part of the change that varies across the object is {VISIBLE:g} levels or more",
        lambda change: change.place >= VISIBLE,
    ),
}
"""Warnings for an object without a ground truth: results to check by eye. A grey object in coloured light is rightly
tinted.
"""

CASES: Mapping[str, Kind[Scene]] = {
    "tiny": Kind(f"foreground below {100 * TINY:g} % of the picture", lambda scene: scene.share < TINY),
    "huge": Kind(f"foreground above {100 * HUGE:g} %", lambda scene: scene.share > HUGE),
    "dark scene": Kind(f"background's mean L* below {DARK:g}", lambda scene: scene.lightness < DARK),
    "saturated scene": Kind(
        f"background's mean chroma above {SATURATED:g}", lambda scene: scene.saturation > SATURATED
    ),
}
"""Properties of the case, not failures."""


def find_kinds(kinds: Mapping[str, Kind[Measured]], measured: Measured) -> list[str]:
    """Return the names of the kinds whose rules apply."""
    return [name for name, kind in kinds.items() if kind.applies(measured)]


def measure_scene(picture: np.ndarray, mask: np.ndarray) -> Scene:
    """Measure a scene.

    picture: (H, W, 3) uint8.
    mask: (H, W) bool, foreground and background not empty.
    """
    lab = _to_lab(picture[~mask])
    return Scene(float(mask.mean()), float(lab[:, 0].mean()), float(np.hypot(lab[:, 1], lab[:, 2]).mean()))


def measure_result(composite: np.ndarray, harmonized: np.ndarray, real: np.ndarray, mask: np.ndarray) -> Result:
    """Measure a result against the ground truth.

    composite, harmonized, real: (H, W, 3) uint8.
    mask: (H, W) bool, not empty.
    """
    before, after, right = (picture[mask].astype(np.float64) for picture in (composite, harmonized, real))  # (n, 3)
    wanted, made = (right - before).mean(axis=0), (after - before).mean(axis=0)  # (3,)
    product, length, way = float(made @ wanted), math.hypot(*wanted), math.hypot(*made)
    chroma, drift = _measure_tint(real[mask], harmonized[mask])
    return Result(
        fmse_before=float(np.square(before - right).mean()),
        fmse_after=float(np.square(after - right).mean()),
        parts=split_error(harmonized, real, mask),
        needed_shift=length / math.sqrt(3),
        actual_shift=way / math.sqrt(3),
        along=product / length**2 if length else 0.0,
        cosine=product / (length * way) if length and way else 0.0,
        chroma=chroma,
        drift=drift,
        clipped=_newly_clipped(harmonized[mask], real[mask]),
    )


def measure_change(pasted: np.ndarray, harmonized: np.ndarray, mask: np.ndarray) -> Change:
    """Measure the change of a pasted object.

    pasted, harmonized: (H, W, 3) uint8.
    mask: (H, W) bool, not empty.
    """
    parts = split_error(pasted, harmonized, mask)
    chroma, drift = _measure_tint(pasted[mask], harmonized[mask])
    clipped = _newly_clipped(harmonized[mask], pasted[mask])
    return Change(math.sqrt(sum(parts)), math.sqrt(parts.place), chroma, drift, clipped)


def _measure_tint(right: np.ndarray, harmonized: np.ndarray) -> tuple[float, float]:
    """Return the median chroma of the pixels (n, 3) and their mean's a*b* distance from the harmonized ones'."""
    lab, other = _to_lab(right), _to_lab(harmonized)
    moved = other[:, 1:].mean(axis=0) - lab[:, 1:].mean(axis=0)
    return float(np.median(np.hypot(lab[:, 1], lab[:, 2]))), math.hypot(*moved)


def _newly_clipped(pixels: np.ndarray, before: np.ndarray) -> float:
    """Return the share of pixels (n, 3) that reached an end of the range in some channel."""
    return float((((pixels == 0) | (pixels == 255)) & (before > 0) & (before < 255)).any(axis=1).mean())


def _to_lab(pixels: np.ndarray) -> np.ndarray:
    """Convert (n, 3) uint8 to CIELAB (n, 3)."""
    rgb = torch.from_numpy(pixels).T[None, :, None].double() / 255  # (1, 3, 1, n)
    return srgb_to_lab(rgb)[0, :, 0].T.numpy()
