"""The paper's Table 3 below a study's own scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.evaluation.published import PAPER, TABLE_3
from training.evaluation.score_tables import UNKNOWN, ScoreTable
from training.human_study.bradley_terry import LEVEL, RESAMPLES, Ranking
from training.human_study.votes import Vote


def table_3(ranking: Ranking, votes: Sequence[Vote]) -> ScoreTable:
    """A row a method, best first, the paper's rows below; the notes say what the figures are and what they rest on."""
    rows = [
        [
            one.method,
            f"{one.score:+.3f}",
            f"{one.low:+.3f} to {one.high:+.3f}",
            str(one.votes),
            f"{100 * one.share:.1f} %",
        ]
        for one in ranking.standings
    ]
    best_first = sorted(TABLE_3.items(), key=lambda row: -row[1])
    papers = [[f"paper: {method} [1]", f"{score:.3f}", *[UNKNOWN] * 3] for method, score in best_first]
    return ScoreTable(
        title=f"Table 3 in the paper's form: {_count(votes)}",
        headings=["method", "B-T score", f"{LEVEL} % interval", "votes", "share of wins"],
        sections=[rows, papers],
        notes=_notes(ranking, votes),
    )


def _count(votes: Sequence[Vote]) -> str:
    voters, pictures = len({vote.voter for vote in votes}), len({vote.trial.picture for vote in votes})
    counts = ((len(votes), "vote"), (voters, "voter"), (pictures, "picture"))
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)


def _notes(ranking: Ranking, votes: Sequence[Vote]) -> list[str]:
    notes = [
        "B-T score: ln of the strength in the Bradley-Terry model, mean 0. One that is 1 higher is chosen"
        f" {math.e:.1f} times as often as the other. Scores of two studies cannot be compared.",
        f"[1] {PAPER}, Table 3: 50 people, 99 real composites, 24,750 comparisons; its zero is another one.",
        f"Interval: percentiles of {RESAMPLES} resamples that draw voters and pictures anew, both with replacement.",
    ]
    for kind, single in (
        ("voter", {vote.voter for vote in votes}),
        ("picture", {vote.trial.picture for vote in votes}),
    ):
        if len(single) == 1:
            notes.append(f"There is one {kind} only: the intervals do not tell how {kind}s differ.")
    undecided = sum(vote.choice == "none" for vote in votes)
    if undecided:
        notes.append(f"Votes for no difference: {undecided}, half to either method.")
    where = ["the votes"] if ranking.unbounded else []
    if ranking.unbounded_resamples:
        where.append(f"{ranking.unbounded_resamples} of the resamples")
    if where:
        notes.append(
            f"In {' and in '.join(where)} some methods won or lost all that they had with the others, which no finite"
            " scores fit: there, half a vote for either side was added between every two methods."
        )
    return notes
