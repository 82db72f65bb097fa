"""The transfer beside the enlarged residual of the small answer, where the truth is known; in small what
`python -m tests.benchmarks.transfer_quality` measures at 20 megapixels."""

from __future__ import annotations

import pytest

from tests.benchmarks.transfer_quality import KINDS, SCENES, Array, measure, scene

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Array, Array]]:
    """Each scene's layer and what lies below it."""
    return [scene(*pair, 0.3) for pair in SCENES]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_nearer_to_the_truth_and_no_worse_at_the_edge(kind: str, scenes: list[tuple[Array, Array]]) -> None:
    found = [measure(*one, kind, seed) for seed, one in enumerate(scenes)]
    for one in found:
        assert one.transfer > one.residual + 2
        assert one.transfer > one.untouched + 10
    assert sum(one.edge for one in found) <= sum(one.inside for one in found)
