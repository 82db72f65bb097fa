"""Reads mutations of a valid picture file, in a process of its own: python -m tests.gknet.files.mutations FILE COUNT.

Each must end in a picture or one clear line, within ten seconds. Prints the peak memory in bytes.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

import numpy as np

from gknet.color.profile import to_srgb
from gknet.errors import HarmonizeError
from gknet.files import formats
from gknet.files.layered.layers import Layers, open_layers
from gknet.files.mask import choose_mask

_MOST_S = 10


def mutate(whole: bytes, random: np.random.Generator) -> bytes:
    """Return a file with bytes changed, cut, repeated or moved; more often near its start, where the headers are."""
    content = bytearray(whole)
    for _ in range(random.integers(1, 5)):
        near = len(content) if random.random() < 0.5 else min(len(content), 700)
        place, length = int(random.integers(0, max(near, 1))), int(random.integers(1, 65))
        part = content[place : place + length]
        match random.integers(0, 7):
            case 0 | 1:
                content[place : place + 1] = random.bytes(1)
            case 2:
                content[place : place + 4] = random.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
            case 3:
                content[place : place + length] = b""
            case 4:
                content[place:place] = part * int(random.integers(1, 4))
            case 5:
                content[place : place + len(part)] = random.bytes(len(part))
            case 6 if random.random() < 0.3:
                del content[place:]
    return bytes(content)


def use(path: Path) -> None:
    """Process a file as the command does, without the network."""
    document = open_layers(path)
    if document is not None:
        try:
            layers = Layers(document, None)
        except HarmonizeError:  # it may lack layers that can be harmonized
            layers = Layers(document, next(node.name for node in document.nodes if not node.is_group))
        document.write(path.with_name("out.ora"), layers.chosen, layers.foreground, layers.merge())
        return
    read = formats.read_picture(path)
    choose_mask(read.pixels)
    to_srgb(np.zeros((1, 1, 3), np.float32), read.profile)
    for suffix in (".tif", ".png"):
        formats.write_picture(path.with_name(f"out{suffix}"), read.pixels[:512, :512], read)


def main(path: Path, count: int) -> None:
    whole, random = path.read_bytes(), np.random.default_rng(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    bad = path.with_name("bad")
    for number in range(count):
        bad.write_bytes(mutate(whole, random))
        print(number, flush=True)
        signal.alarm(_MOST_S)
        try:
            use(bad)
        except HarmonizeError as error:
            if "\n" in str(error) or not error.hint:
                raise AssertionError(f"not one clear line: {error}") from error
        signal.alarm(0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
