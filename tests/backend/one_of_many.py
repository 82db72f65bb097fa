"""A client among others, in a process of its own: `one_of_many.py EXPECTED.npz SEED COUNT`.

Asks the backend for COUNT things of mixed kinds and fails if an answer is not exactly its own. Prints a line after the
first. EXPECTED holds layer, reference and, by strength in tenths, what the layer becomes. If the backend is busy, it is
asked again.
"""

from __future__ import annotations

import random
import sys
import time

import numpy as np

from backend import BusyError, Client, HarmonizeResult
from gknet.errors import NoForegroundError


class EnoughError(Exception):
    """Raised while a request runs, to cancel it."""


def harmonize(client: Client, scene: dict[str, np.ndarray], tenths: int, fit: str | None) -> HarmonizeResult:
    while True:
        try:
            return client.harmonize(
                scene["layer"], scene["reference"], at=(150, 200), network_size=64, strength=tenths / 10, fit=fit
            )
        except BusyError:
            time.sleep(0.01)


def cancel(client: Client, scene: dict[str, np.ndarray]) -> None:
    def stop(*_: object) -> None:
        raise EnoughError

    try:
        client.harmonize(scene["layer"], scene["reference"], at=(150, 200), network_size=64, on_progress=stop)
    except (EnoughError, BusyError):
        return
    raise AssertionError("a request was answered without a word of progress")


def ask_for_what_is_refused(client: Client, scene: dict[str, np.ndarray]) -> None:
    try:
        client.harmonize(scene["layer"], scene["reference"], at=(99_999, 0))
    except (NoForegroundError, BusyError):
        return
    raise AssertionError("a layer beside its picture was harmonized")


def main() -> None:
    path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    scene = dict(np.load(path))
    chance = random.Random(seed)
    fit: str | None = None
    with Client.connect(start=False) as client:
        for number in range(count):
            kind = chance.random()
            tenths = chance.randrange(11)
            if kind < 0.7:
                answer = harmonize(client, scene, tenths, fit if kind < 0.3 else None)
                fit = answer.fit
                assert np.array_equal(answer.pixels, scene[f"at {tenths}"]), f"answer {number} is another's"
            elif kind < 0.8:
                cancel(client, scene)
            elif kind < 0.9:
                ask_for_what_is_refused(client, scene)
            else:
                assert client.status()["queue"] <= 16
            if number == 0:
                print("under way", flush=True)


if __name__ == "__main__":
    main()
