"""Bradley-Terry scores against closed forms and an independent maximum of the likelihood, and their intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import pytest

from gknet.errors import InputError
from training.human_study.bradley_terry import RESAMPLES, Ranking, fit_scores, is_unbounded, rank_methods
from training.human_study.study import Trial
from training.human_study.table import table_3
from training.human_study.votes import Choice, Vote


def votes(
    counts: dict[tuple[str, str], int], voters: Iterable[str] = ("a", "b", "c"), choice: Choice = "left"
) -> list[Vote]:
    """So many votes for each first over each second, by the voters in turn, every one on a picture of its own."""
    each = itertools.cycle(voters)
    return [
        Vote(next(each), Trial(f"{one}-{other}-{number}", one, other), choice)
        for (one, other), count in counts.items()
        for number in range(count)
    ]


def scores(ranking: Ranking) -> dict[str, float]:
    return {standing.method: standing.score for standing in ranking.standings}


def test_two_methods_differ_by_the_log_odds() -> None:
    ranking = rank_methods(votes({("one", "other"): 30, ("other", "one"): 10}), ["one", "other"], range(20))
    assert scores(ranking) == pytest.approx({"one": math.log(3) / 2, "other": -math.log(3) / 2}, abs=1e-6)
    best, worst = ranking.standings
    assert (best.method, best.votes, best.share) == ("one", 40, 0.75)
    assert (worst.method, worst.votes, worst.share) == ("other", 40, 0.25)
    assert not ranking.unbounded


def test_the_side_a_method_was_on_does_not_matter() -> None:
    left = votes({("one", "other"): 20, ("other", "one"): 7})
    right = [vote._replace(trial=Trial(vote.trial.picture, *vote.trial[:0:-1]), choice="right") for vote in left]
    assert right[0].trial.left == "other"
    assert rank_methods(left, ["one", "other"], range(50)) == rank_methods(right, ["one", "other"], range(50))


def test_no_difference_is_half_a_vote_for_either() -> None:
    counted = votes({("one", "other"): 20, ("other", "one"): 4})
    counted += votes({("one", "other"): 12}, choice="none")
    ranking = rank_methods(counted, ["one", "other"], range(20))
    assert scores(ranking)["one"] == pytest.approx(math.log(26 / 10) / 2, abs=1e-6)
    assert ranking.standings[0].share == pytest.approx(26 / 36)
    assert ranking.standings[0].votes == 36


@pytest.mark.parametrize(
    "wins",
    [
        [[0, 12, 25], [9, 0, 14], [6, 11, 0]],
        [[0, 3, 0], [1, 0, 2], [0, 5, 0]],  # two that were compared by way of the third alone
        [[0, 900, 990], [100, 0, 800], [10, 200, 0]],
        [[0, 4.5, 8, 2], [1.5, 0, 3, 7], [2, 5, 0, 1], [3, 1, 6, 0]],
    ],
)
def test_scores_are_the_likeliest_ones(wins: list[list[float]]) -> None:
    """Found again by a general minimizer from the likelihood as it is written down."""
    from scipy.optimize import minimize  # takes half a second: only where it is needed

    table = np.array(wins, float)

    def cost(free: np.ndarray) -> float:
        score = np.append(free, -free.sum())  # mean 0
        return float((table * np.logaddexp(0, score[None, :] - score[:, None])).sum())

    found = minimize(cost, np.zeros(len(table) - 1), method="BFGS", options={"gtol": 1e-6}).x
    assert fit_scores(table) == pytest.approx(np.append(found, -found.sum()), abs=1e-4)


def test_the_minorization_maximization_algorithm_agrees() -> None:
    """Hunter, 2004; strengths divided by their geometric mean."""
    table = np.array([[0, 2, 0, 1], [3, 0, 5, 0], [0, 3, 0, 1], [4, 0, 3, 0]], float)
    strengths = np.ones(4)
    for _ in range(5000):
        sums = strengths[:, None] + strengths[None, :]
        strengths = table.sum(axis=1) / ((table + table.T) / sums).sum(axis=1)
        strengths /= np.exp(np.log(strengths).mean())
    assert np.exp(fit_scores(table)) == pytest.approx(strengths, rel=1e-6)


def test_a_method_that_never_lost_gets_a_finite_score_and_a_note() -> None:
    counted = votes({("one", "other"): 10})
    ranking = rank_methods(counted, ["one", "other"])
    assert ranking.unbounded
    assert ranking.unbounded_resamples == RESAMPLES
    assert scores(ranking)["one"] == pytest.approx(math.log(10.5 / 0.5) / 2, abs=1e-6)
    notes = " ".join(table_3(ranking, counted).notes)
    assert f"In the votes and in {RESAMPLES} of the resamples some methods won or lost all" in notes


def test_only_wins_both_ways_bound_the_scores() -> None:
    assert not is_unbounded(np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], float))
    assert is_unbounded(np.array([[0, 5, 2], [3, 0, 2], [0, 0, 0]], float))


def test_methods_that_were_never_compared_are_named() -> None:
    counted = votes({("a", "b"): 3, ("b", "a"): 1, ("c", "d"): 2, ("d", "c"): 2})
    with pytest.raises(InputError, match=r"Never compared with one another: a, b; c, d; e\."):
        rank_methods(counted, ["a", "b", "c", "d", "e"])


def test_no_vote_is_no_ranking() -> None:
    with pytest.raises(InputError, match=r"No votes have been recorded yet\."):
        rank_methods([], ["a", "b"])


def test_intervals_are_wider_where_voters_or_pictures_are_of_one_mind() -> None:
    """240 votes, 150 to 90: by voters who always say the same, on pictures where all say the same, or mixed."""
    outcomes = [("one", "other")] * 150 + [("other", "one")] * 90

    def width(voter: list[int], picture: list[int]) -> float:
        counted = [
            Vote(str(who), Trial(str(what), *outcome), "left")
            for outcome, who, what in zip(outcomes, voter, picture, strict=True)
        ]
        best = rank_methods(counted, ["one", "other"], range(400)).standings[0]
        assert best.low < best.score < best.high
        return best.high - best.low

    mixed = list(np.random.default_rng(1).permutation(240) // 20)  # 12 groups, drawn without a thought of the outcome
    alike = list(np.arange(240) // 30)  # 8 groups of one mind
    by_voter, by_picture, neither = width(alike, mixed), width(mixed, alike), width(mixed, list(range(240)))
    assert min(by_voter, by_picture) > 1.5 * neither


def test_intervals_say_nothing_of_what_was_not_varied() -> None:
    """One voter and one picture: each resample is the study itself."""
    counted = [
        Vote("a", Trial("p", *pair), "none" if pair == ("x", "y") else "left")
        for pair in (("x", "y"), ("y", "z"), ("z", "x"))
    ]
    ranking = rank_methods(counted, ["x", "y", "z"], range(50))
    for standing in ranking.standings:
        assert (standing.low, standing.high) == pytest.approx((standing.score, standing.score), abs=1e-9)
    notes = " ".join(table_3(ranking, counted).notes)
    assert "There is one voter only" in notes
    assert "There is one picture only" in notes


def test_the_same_votes_give_the_same_report() -> None:
    counted = votes({("one", "other"): 17, ("other", "one"): 12})
    assert rank_methods(counted, ["one", "other"], range(100)) == rank_methods(counted, ["one", "other"], range(100))


@pytest.mark.slow
def test_the_interval_covers_the_true_score_about_as_often_as_it_says() -> None:
    """Sixty studies of a known strength, twenty voters with a taste of their own and twenty pictures each."""
    generator, truth, covered = np.random.default_rng(5), 0.4, 0
    for _ in range(60):
        taste, ease = generator.normal(0, 0.5, 20), generator.normal(0, 0.5, 20)
        chance = 1 / (1 + np.exp(-(2 * truth + taste[:, None] + ease[None, :])))
        chosen = generator.random((20, 20)) < chance
        counted = [
            Vote(str(voter), Trial(str(picture), "one", "other"), "left" if chosen[voter, picture] else "right")
            for voter, picture in np.ndindex(20, 20)
        ]
        standing = next(
            one for one in rank_methods(counted, ["one", "other"], range(200)).standings if one.method == "one"
        )
        covered += standing.low <= truth <= standing.high
    assert covered >= 50
