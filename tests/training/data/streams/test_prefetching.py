"""Batches that are made ahead: the same ones, in the same order, and their errors where they are asked for."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from gknet.errors import InputError
from training.data.streams.prefetching import Prefetcher
from training.engine.batch import Batch

CPU = torch.device("cpu")


class Counting:
    """Batches numbered from 0, until there are no more."""

    def __init__(self, last: int = 1000) -> None:
        self.made = 0
        self.last = last
        self.threads: set[int] = set()

    def draw_batch(self) -> Batch:
        if self.made == self.last:
            raise InputError("There are no more.", "Ask for fewer.")
        self.threads.add(threading.get_ident())
        self.made += 1
        number = torch.full((1, 3, 8, 8), float(self.made - 1))
        return Batch(number, number, number[:, :1])


def numbers(ahead: Prefetcher, count: int) -> list[float]:
    return [ahead.draw_batch().composite[0, 0, 0, 0].item() for _ in range(count)]


def test_batches_come_in_their_order_from_another_thread() -> None:
    stream = Counting()
    with Prefetcher(stream, CPU) as ahead:
        assert numbers(ahead, 50) == list(range(50))
    assert stream.threads.isdisjoint({threading.get_ident()})


def test_a_few_are_made_before_they_are_asked_for_and_no_more() -> None:
    stream = Counting()
    with Prefetcher(stream, CPU):
        end = time.monotonic() + 10
        while stream.made < 3 and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.3)
        assert 3 <= stream.made <= 4


def test_an_error_is_raised_after_the_batches_before_it() -> None:
    with Prefetcher(Counting(last=2), CPU) as ahead:
        assert numbers(ahead, 2) == [0, 1]
        for _ in range(2):  # also when asked again
            with pytest.raises(InputError, match="no more"):
                ahead.draw_batch()


def test_closing_ends_the_thread() -> None:
    ahead = Prefetcher(Counting(), CPU)
    ahead.close()
    assert not ahead.thread.is_alive()
    with pytest.raises(RuntimeError, match="closed"):
        ahead.draw_batch()
