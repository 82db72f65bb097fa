"""Keep training examples for the heads in a folder, the bank:

    python -m training.heads.bank --data FOLDERS --bank BANK

Makes composites of the wide synthesis (`training.data.streams.shared_views`) and their examples
(`training.heads.examples`) until --minutes have passed or Ctrl-C or SIGTERM arrives. Files are added atomically. A bank
belongs to one weight file, whose frozen parts made its examples.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from gknet.atomic import replace_file
from gknet.errors import WeightsError
from gknet.network import weights
from gknet.network.model import GKNet
from training.data.shards import find_shards, read_photographs
from training.data.streams.shared_views import VIEW_SIZE, SharedViewStream
from training.engine.batch import Stream
from training.engine.run import read_run
from training.evaluation.command import run_command
from training.heads.examples import Examples, join_examples, make_examples
from training.heads.making import make_pieces

COMPOSITE_SIZE = 256
"""Height and width of the composites, in pixels."""
NETWORK_SIZE = 384
"""Height and width at which the frozen network sees them: the size in use. Trained at 144, the heads mostly learned to
make up for the size.
"""
COMPOSITES_PER_VIEW = 6
"""Composites made from each view."""
CONFIG = Path(__file__).parents[1] / "configs" / "gknet_s_wide.toml"
PIECE_LENGTH = 100
"""Smallest number of examples in a file."""
_EXACT = ("quadratic", "to_change", "to_error", "scalars")
"""Fields that need more precision than float16."""


class Bank:
    """A folder of examples. Raises WeightsError if it was made with another weight file."""

    def __init__(self, folder: Path, weight_file: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        about = folder / "bank.json"
        made_with = {"weights": weights.compute_digest(weight_file), "shown": NETWORK_SIZE}
        if not about.exists():
            with replace_file(about) as unfinished:
                unfinished.write_text(json.dumps(made_with), encoding="utf-8")
        elif json.loads(about.read_text(encoding="utf-8")) != made_with:
            raise WeightsError(f"{folder} was made with different weights from {weight_file}.", "Choose a new folder.")

    @property
    def pieces(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self.folder.glob("*.pt"))

    def add(self, examples: Examples) -> None:
        """Write examples to a new file."""
        self.write(self.folder / f"{len(self.pieces):06}.pt", examples)

    def write(self, path: Path, examples: Examples) -> None:
        """Write examples atomically to a file that `read_pieces` can read."""
        fields = {name: part if name in _EXACT else part.half() for name, part in examples._asdict().items()}
        with replace_file(path) as unfinished, unfinished.open("wb") as file:
            torch.save(fields, file)


def read_pieces(paths: Iterable[Path]) -> Examples:
    """Read the examples of several files into memory, in their stored precision."""
    parts = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
    return Examples(**{name: torch.cat([part[name] for part in parts]) for name in Examples._fields})


def extend_bank(bank: Bank, stream: Stream, net: GKNet, goes_on: Callable[[], bool]) -> int:
    """Add files of examples while `goes_on` returns True, and return the number of examples."""
    total = 0
    while goes_on():
        made: list[Examples] = []
        while sum(len(part.colours) for part in made) < PIECE_LENGTH:
            batch = stream.draw_batch()
            made.append(make_examples(net, batch.composite, batch.real, batch.mask, NETWORK_SIZE, batch.recognized))
        piece = join_examples(made)
        bank.add(piece)
        total += len(piece.colours)
    return total


def open_stream(folders: list[Path], seed: int) -> SharedViewStream:
    """Open a stream of composites from shards, without the validation split."""
    run = replace(read_run(CONFIG), size=COMPOSITE_SIZE, batch=4 * COMPOSITES_PER_VIEW)
    photographs = read_photographs(find_shards(folders), VIEW_SIZE, validation=False)
    print(f"{len(photographs.keys)} photographs, {len(photographs.masks)} masks", flush=True)
    return SharedViewStream(photographs, run, COMPOSITES_PER_VIEW, torch.Generator().manual_seed(seed))


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    path = options.weights or weights.find_shipped("gknet-s")
    bank = Bank(options.bank, path)
    net = weights.load(path).eval()
    stream = open_stream(options.data, 1 + len(bank.pieces))
    make_pieces(
        lambda: extend_bank(bank, stream, net, iter([True, False]).__next__),
        lambda: len(bank.pieces),
        options.minutes,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.heads.bank", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of shards to train on")
    parser.add_argument("--bank", type=Path, required=True, help="folder of the bank; extended if it exists")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this many minutes")
    options = parser.parse_args()
    return run_command("heads.bank", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
