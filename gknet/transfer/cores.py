"""Division of independent pieces of one picture over the machine's cores."""

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
    """Make torch use this thread only, or a given number, for this thread's work, which is already divided.

    torch keeps this number per thread, but new threads inherit the last one set. It is therefore restored, in a
    temporary thread, because restoring it here would change this thread's number. The lock keeps two callers from
    reading each other's number.
    """
    with _starting:
        process = torch.get_num_threads()
        torch.set_num_threads(threads)
        temporary = threading.Thread(target=torch.set_num_threads, args=(process,))
        temporary.start()
        temporary.join()


def run_in_halves(work: Callable[[Executor], T]) -> T:
    """Run work(pool) on a thread of its own; it may split work that is worth it into two parts on the pool.

    For many small operations. torch could not divide them well, least of all beside other busy programs.
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
    """Process all strips on as many threads as torch has, reporting on the calling thread. Any exception stops them.

    worker: returns, once per thread, the function that processes a strip and returns its number of pixels.
    total: pixels of all strips.   on_progress: called with (pixels done, total).
    """
    todo = iter(strips)  # shared by all threads: next() on a list iterator is atomic
    news: queue.SimpleQueue[int | Future[None]] = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        with torch.inference_mode():  # avoids autograd's bookkeeping
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
