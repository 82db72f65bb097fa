"""Independent pieces of one picture, divided over the machine's cores."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")

Strip = tuple[int, int]
"""Rows (first, end)."""

_starting = threading.Lock()


def limit_threads(threads: int = 1) -> None:
    """Makes torch use this thread only, or so many, for what this thread does: the work is divided already.

    torch keeps this number per thread, but hands the last one set to threads to come. So it is set back, in a
    passing thread, as here that would change ours. The lock keeps two of us from reading each other's number.
    """
    with _starting:
        process = torch.get_num_threads()
        torch.set_num_threads(threads)
        passing = threading.Thread(target=torch.set_num_threads, args=(process,))
        passing.start()
        passing.join()


def run_in_halves(work: Callable[[Executor], T]) -> T:
    """work(pool) on a thread of its own; it may divide in two, on the pool, what is worth it.

    For many small operations, none of which torch could divide well, least of all beside other busy programs.
    """
    one, two = (ThreadPoolExecutor(n, "color-transfer", limit_threads) for n in (1, min(2, torch.get_num_threads())))
    with one, two:
        return one.submit(work, two).result()


def run_on_all_cores(
    strips: Sequence[Strip],
    worker: Callable[[], Callable[[Strip], int]],
    total: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Does all strips on as many threads as torch has and reports on this one. Any exception stops them.

    worker: makes, once a thread, the function that does a strip and returns its number of pixels.
    total: pixels of all strips.   on_progress: called with (pixels done, total).
    """
    todo = iter(strips)  # shared by all: taking the next of a list is atomic
    news: queue.SimpleQueue[int | Future[None]] = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        with torch.inference_mode():  # spares every call its bookkeeping
            work = worker()
            for strip in todo:
                if stop.is_set():
                    return
                news.put(work(strip))

    done, running = 0, max(1, min(torch.get_num_threads(), len(strips)))
    with ThreadPoolExecutor(running, "color-transfer", limit_threads) as pool:
        try:
            for _ in range(running):
                pool.submit(run).add_done_callback(news.put)
            while running:
                item = news.get()
                if isinstance(item, Future):
                    item.result()  # raises what the worker raised
                    running -= 1
                    continue
                done += item
                if on_progress is not None:
                    on_progress(done, total)
        finally:
            stop.set()
