"""What went wrong with a foreground, by rules on numbers: each kind of failure has a name and a stated bound.

Levels are those of 8 bits; a root mean square of levels is taken over pixels and channels, or over channels for means.
Skin and faces have no rule: by colour alone it would call sand, wood and brick skin as well.
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
"""Levels. In mid greys it is three units of L*, where two plain patches side by side begin to be told apart."""
LEADING = 0.2
"""Least share of what is left that a part must hold to be named: seldom more than two parts do."""
UNDER, OVER = 0.75, 1.25
"""The way that a mean colour went along the way that it should have gone, as a share of it. A quarter off is the least
that can be told from luck: of a usual way, 24 levels (the median), it is 6."""
ALIKE = 0.5
"""Least cosine of two directions that count as one: 60 degrees. Beyond it, most of the way was in vain."""
NEUTRAL = 8.0
"""Chroma (CIELAB). Half of an object's pixels below it: one would call it white, grey or black."""
DRIFT = 6.0
"""Distance in a*b*. Of a grey object it is a tint that one would name."""
CLIPPED = 0.02
"""Share of the foreground's pixels. Below it are sparkles and black gaps; one composite in thirty has more."""
LARGE_CHANGE = 45.0
"""Levels. The network changes nine in ten of the composites, which do need it, by less."""
TINY, HUGE = 0.05, 0.5
"""Shares of the picture: the paper's smallest group; and where little of the scene is left to learn from."""
DARK = 25.0
"""Mean L* of the background: in linear light less than 5 % of white. Night, or a black studio."""
SATURATED = 35.0
"""Mean chroma of the background: flowers, neon, a lawn in the sun. One scene in twelve has more."""
FAR_OFF = 4000.0
"""fMSE of the untouched composite. One in ten has more."""


class Scene(NamedTuple):
    """The case itself.   share: of the picture that is foreground.   lightness: mean L* of the background.
    saturation: its mean chroma."""

    share: float
    lightness: float
    saturation: float


class Result(NamedTuple):
    """A harmonized composite beside the truth.

    fmse_before, fmse_after: of the untouched and the harmonized composite.   parts: of fmse_after.
    wanted, made: how far the mean colour should have moved and did, levels.   along: `made` along `wanted`, as a share
    of it, 1 is right.   cosine: of the angle between both; both are 0 where a way has no direction.
    chroma: the real object's median.   drift: of the mean colour from the real one's, in a*b*.
    clipped: share of the pixels that are at 0 or 255 in some channel, and in the real photograph not.
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
    """A harmonized object without a truth.

    size: of the change, levels.   place: how much of it varies across the object, levels, beyond what depends on the
    colour alone.   chroma: the pasted object's median.   drift: of its mean colour, in a*b*.
    clipped: share of the pixels that are at 0 or 255 in some channel, and were not.
    """

    size: float
    place: float
    chroma: float
    drift: float
    clipped: float


Measured = TypeVar("Measured", Scene, Result, Change)


class Kind(NamedTuple, Generic[Measured]):
    """A kind of failure, or of case.   told: the rule in words.   holds: the rule."""

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
"""Of a composite whose truth is known. The mean colour's kinds, the first six, exclude one another and need an error
of the mean of VISIBLE; the parts' kinds need as much, and LEADING."""

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
"""Of an object whose right colours nobody knows: what to look at twice. A grey object that is pasted into coloured
light is tinted rightly."""

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
    """The names of the kinds whose rules hold."""
    return [name for name, kind in kinds.items() if kind.applies(measured)]


def measure_scene(picture: np.ndarray, mask: np.ndarray) -> Scene:
    """picture: (H, W, 3) uint8.   mask: (H, W) bool, foreground and background not empty."""
    lab = _to_lab(picture[~mask])
    return Scene(float(mask.mean()), float(lab[:, 0].mean()), float(np.hypot(lab[:, 1], lab[:, 2]).mean()))


def measure_result(composite: np.ndarray, harmonized: np.ndarray, real: np.ndarray, mask: np.ndarray) -> Result:
    """composite, harmonized, real: (H, W, 3) uint8.   mask: (H, W) bool, not empty."""
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
    """pasted, harmonized: (H, W, 3) uint8.   mask: (H, W) bool, not empty."""
    parts = split_error(pasted, harmonized, mask)
    chroma, drift = _measure_tint(pasted[mask], harmonized[mask])
    clipped = _newly_clipped(harmonized[mask], pasted[mask])
    return Change(math.sqrt(sum(parts)), math.sqrt(parts.place), chroma, drift, clipped)


def _measure_tint(right: np.ndarray, harmonized: np.ndarray) -> tuple[float, float]:
    """The median chroma of the pixels (n, 3), and how far the harmonized ones' mean lies from theirs in a*b*."""
    lab, other = _to_lab(right), _to_lab(harmonized)
    moved = other[:, 1:].mean(axis=0) - lab[:, 1:].mean(axis=0)
    return float(np.median(np.hypot(lab[:, 1], lab[:, 2]))), math.hypot(*moved)


def _newly_clipped(pixels: np.ndarray, before: np.ndarray) -> float:
    """Share of the pixels (n, 3) that are at an end of the range in a channel that was not."""
    return float((((pixels == 0) | (pixels == 255)) & (before > 0) & (before < 255)).any(axis=1).mean())


def _to_lab(pixels: np.ndarray) -> np.ndarray:
    """(n, 3) CIELAB of (n, 3) uint8."""
    rgb = torch.from_numpy(pixels).T[None, :, None].double() / 255  # (1, 3, 1, n)
    return srgb_to_lab(rgb)[0, :, 0].T.numpy()
