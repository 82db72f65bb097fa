"""Scores of methods from votes by the Bradley-Terry model, with confidence intervals.

A method of strength s is chosen over one of strength t with probability s / (s + t). Its score is ln s, with mean 0
over the methods, at the maximum of the likelihood, computed by choix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import connected_components

from gknet.errors import InputError
from training.human_study.votes import Vote

RESAMPLES = 1000
LEVEL = 95
"""Confidence level of the intervals, in per cent."""
SHARES = {"left": 1.0, "right": 0.0, "none": 0.5}
"""The left method's share of a vote; the right one gets the rest."""


class Standing(NamedTuple):
    """A method's result.

    score: ln of its strength.
    low, high: the score's interval.
    votes: number of its comparisons.
    share: share of these that it won, 0 to 1.
    """

    method: str
    score: float
    low: float
    high: float
    votes: int
    share: float


class Ranking(NamedTuple):
    """All methods, best first.

    unbounded: whether half votes were added, as in `fit_scores`.
    unbounded_resamples: number of resamples in which they were added.
    """

    standings: list[Standing]
    unbounded: bool
    unbounded_resamples: int


def rank_methods(votes: Sequence[Vote], methods: Sequence[str], resamples: Iterable[int] = range(RESAMPLES)) -> Ranking:
    """Rank the methods. Intervals are percentiles of the bootstrap, with as many resamples as given.

    Votes of one voter aren't independent, nor are votes on one picture. Each resample therefore draws voters and
    pictures with replacement. A vote's weight is the number of times its voter was drawn times that of its picture (the
    pigeonhole bootstrap; Owen, 2007). The same votes give the same intervals.

    Raises InputError without votes, or if some methods were never compared, even indirectly.
    """
    if not votes:
        raise InputError("No votes have been recorded yet.", "Run the same command without --report to vote.")
    counts = _Counts(votes, methods)
    wins = counts.count_wins(np.ones(len(votes)))
    _check_compared(wins, methods)
    generator = np.random.default_rng(0)
    refitted, unbounded = [], 0
    for _ in resamples:
        drawn = counts.resample(generator)
        refitted.append(fit_scores(drawn))
        unbounded += is_unbounded(drawn)
    edge = (100 - LEVEL) / 2
    low, high = np.percentile(refitted, [edge, 100 - edge], axis=0)
    scores, total = fit_scores(wins), (wins + wins.T).sum(axis=1)
    standings = [
        Standing(
            method,
            float(scores[row]),
            float(low[row]),
            float(high[row]),
            round(total[row]),
            float(wins[row].sum() / total[row]),
        )
        for row, method in enumerate(methods)
    ]
    standings.sort(key=lambda standing: -standing.score)
    return Ranking(standings, is_unbounded(wins), unbounded)


def fit_scores(wins: np.ndarray) -> np.ndarray:
    """Return the scores, (M,) float64.

    wins: (M, M) float, how often the row's method was chosen over the column's.

    If some methods won or lost all comparisons with the others, the likelihood has no maximum. Then half a vote for
    either side is added between every two methods.
    """
    if is_unbounded(wins):
        wins = wins + SHARES["none"] * (1 - np.eye(len(wins)))
    import choix  # takes a second: only where scores are computed

    return choix.ilsr_pairwise_dense(wins, max_iter=100_000)


def is_unbounded(wins: np.ndarray) -> bool:
    """Return whether the likelihood has no maximum: wins don't lead from every method to every other (Ford, 1957)."""
    groups: int = connected_components(wins > 0, connection="strong", return_labels=False)
    return groups > 1


def _check_compared(wins: np.ndarray, methods: Sequence[str]) -> None:
    groups, group = connected_components(wins > 0, connection="weak")
    if groups > 1:
        parts = [", ".join(np.array(methods)[group == number]) for number in range(groups)]
        message = f"Never compared with one another: {'; '.join(parts)}."
        raise InputError(message, "Collect more votes: scores need votes that link all methods.")


class _Counts:
    """Votes as arrays, for repeated counting."""

    def __init__(self, votes: Sequence[Vote], methods: Sequence[str]) -> None:
        self.size = len(methods)
        index = {method: number for number, method in enumerate(methods)}
        self.left = np.array([index[vote.trial.left] for vote in votes])
        self.right = np.array([index[vote.trial.right] for vote in votes])
        self.share = np.array([SHARES[vote.choice] for vote in votes])
        self.voters = np.unique([vote.voter for vote in votes], return_inverse=True)[1]
        self.pictures = np.unique([vote.trial.picture for vote in votes], return_inverse=True)[1]

    def count_wins(self, weights: np.ndarray) -> np.ndarray:
        """Return how much of the votes each row won over each column, (M, M).

        weights: (votes,), how often each vote counts.
        """
        wins = np.zeros((self.size, self.size))
        np.add.at(wins, (self.left, self.right), weights * self.share)
        np.add.at(wins, (self.right, self.left), weights * (1 - self.share))
        return wins

    def resample(self, generator: np.random.Generator) -> np.ndarray:
        """Return the wins (M, M) of a resample with at least one vote."""
        while True:
            weights = _draw_groups(self.voters, generator) * _draw_groups(self.pictures, generator)
            if weights.any():
                return self.count_wins(weights)


def _draw_groups(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return how often each vote's group was drawn. groups: numbers from 0, one per vote."""
    count = groups.max() + 1
    drawn: np.ndarray = generator.multinomial(count, np.full(count, 1 / count))[groups]
    return drawn
