"""Two of the six kinds of composites: a command that judges a pool has a third as many to judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from training.data.synthesis.recoloring import KINDS

TWO_KINDS = ("reinhard", "light")


@contextmanager
def leave_two_kinds() -> Iterator[None]:
    """Know no others until the end of the block."""
    before = dict(KINDS)
    for kind in before.keys() - set(TWO_KINDS):
        del KINDS[kind]
    try:
        yield
    finally:
        KINDS.clear()
        KINDS.update(before)  # in their order, on which draws depend
