"""Scores of methods from votes: the Bradley-Terry model, and how certain they are.

A method of strength s is chosen over one of strength t with the probability s / (s + t). Its score is ln s, with mean 0
over the methods, where the votes' likelihood is greatest; found by choix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import choix
import numpy as np
from scipy.sparse.csgraph import connected_components

from gknet.errors import InputError
from training.human_study.votes import Vote

RESAMPLES = 1000
LEVEL = 95
"""Per cent, of the intervals."""
SHARES = {"left": 1.0, "right": 0.0, "none": 0.5}
"""How much of a vote the method on the left gets; the other one gets the rest."""


class Standing(NamedTuple):
    """How a method fared. score: ln of its strength.   low, high: the score's interval.

    votes: how many it was part of.   share: of these, what it won, 0 to 1.
    """

    method: str
    score: float
    low: float
    high: float
    votes: int
    share: float


class Ranking(NamedTuple):
    """All methods, best first. unbounded: whether half votes had to be added, as `fit_scores` does.

    unbounded_resamples: for how many of the resamples they had to be.
    """

    standings: list[Standing]
    unbounded: bool
    unbounded_resamples: int


def rank_methods(votes: Sequence[Vote], methods: Sequence[str], resamples: Iterable[int] = range(RESAMPLES)) -> Ranking:
    """Every method's standing; the intervals are the percentiles of the bootstrap, with as many resamples as are given.

    Votes of one voter are not independent, nor are those on one picture: a resample draws as many voters and as many
    pictures as there are, with replacement, and counts a vote as often as its voter times as often as its picture was
    drawn (the pigeonhole bootstrap; Owen, 2007). The same votes give the same intervals.
    Raises InputError without votes, and where methods were never compared, not even by way of others.
    """
    if not votes:
        raise InputError("There is no vote yet.", "Vote first: the same command without --report.")
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
    """(M,) float64: the scores.   wins: (M, M) float, how often the row's method was chosen over the column's.

    Where some methods won or lost all they had with the others, no scores are likeliest: the further apart, the
    likelier. Then half a vote for either side is added between every two methods.
    """
    if is_unbounded(wins):
        wins = wins + SHARES["none"] * (1 - np.eye(len(wins)))
    return choix.ilsr_pairwise_dense(wins, max_iter=100_000)


def is_unbounded(wins: np.ndarray) -> bool:
    """Whether the likelihood has no maximum: wins do not lead from every method to every other (Ford, 1957)."""
    groups: int = connected_components(wins > 0, connection="strong", return_labels=False)
    return groups > 1


def _check_compared(wins: np.ndarray, methods: Sequence[str]) -> None:
    groups, group = connected_components(wins > 0, connection="weak")
    if groups > 1:
        parts = [", ".join(np.array(methods)[group == number]) for number in range(groups)]
        message = f"Never compared with one another: {'; '.join(parts)}."
        raise InputError(message, "Collect more votes first: scores need votes that link all methods.")


class _Counts:
    """Votes as numbers, to be counted again and again."""

    def __init__(self, votes: Sequence[Vote], methods: Sequence[str]) -> None:
        self.size = len(methods)
        index = {method: number for number, method in enumerate(methods)}
        self.left = np.array([index[vote.trial.left] for vote in votes])
        self.right = np.array([index[vote.trial.right] for vote in votes])
        self.share = np.array([SHARES[vote.choice] for vote in votes])
        self.voters = np.unique([vote.voter for vote in votes], return_inverse=True)[1]
        self.pictures = np.unique([vote.trial.picture for vote in votes], return_inverse=True)[1]

    def count_wins(self, weights: np.ndarray) -> np.ndarray:
        """(M, M): how much of the votes each row won over each column.   weights: (votes,), how often each counts."""
        wins = np.zeros((self.size, self.size))
        np.add.at(wins, (self.left, self.right), weights * self.share)
        np.add.at(wins, (self.right, self.left), weights * (1 - self.share))
        return wins

    def resample(self, generator: np.random.Generator) -> np.ndarray:
        """(M, M): wins of a resample that holds a vote at least."""
        while True:
            weights = _draw_groups(self.voters, generator) * _draw_groups(self.pictures, generator)
            if weights.any():
                return self.count_wins(weights)


def _draw_groups(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """How often the group of each was drawn.   groups: numbers from 0 on, one a vote."""
    count = groups.max() + 1
    drawn: np.ndarray = generator.multinomial(count, np.full(count, 1 / count))[groups]
    return drawn
