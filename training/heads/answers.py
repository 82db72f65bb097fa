"""Keep the network's answers to composites in a folder, to train variants from:

    python -m training.heads.answers --data FOLDERS --out ANSWERS

Makes composites of the wide synthesis (`training.data.streams.shared_views`), shows them to the network as in use, and
keeps some of each foreground's pixels: of the composite, the answer, and the photograph. Goes on until --minutes have
passed or Ctrl-C or SIGTERM arrives. The same command adds to the folder. Files are added atomically.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gknet.atomic import replace_file
from gknet.network import weights
from gknet.network.inference import InferenceNetwork
from training.data.streams.shared_views import SharedViewStream
from training.engine.batch import Batch
from training.evaluation.command import run_command
from training.heads.bank import open_stream
from training.heads.making import make_pieces

PIXELS = 256
"""Pixels kept of each foreground."""
NETWORK_SIZE = 384
"""Height and width at which the network sees composites: the size in use."""
PIECE_LENGTH = 250
"""Smallest number of composites in a file."""


def list_pieces(folder: Path) -> list[Path]:
    """Return the files of a folder of answers, oldest first."""
    return sorted(folder.glob("*.pt"))


def read_answers(folder: Path) -> Tensor:
    """Return (B, 3, PIXELS, 3) uint8 sRGB: of each composite the foreground's pixels, the answer's, and the
    photograph's.
    """
    return torch.cat([torch.load(path, map_location="cpu", weights_only=True) for path in list_pieces(folder)])


@torch.no_grad()
def make_answers(net: InferenceNetwork, batch: Batch, generator: Generator) -> Tensor:
    """Return a batch's answers as in `read_answers`. Composites with an empty foreground are left out."""
    size = (NETWORK_SIZE, NETWORK_SIZE)
    composite, real = (
        F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
        for picture in (batch.composite, batch.real)
    )
    mask = F.interpolate(batch.mask, size, mode="bilinear", antialias=True)
    pictures = torch.stack([composite, net(composite, mask).clamp(0, 1), real], dim=1).flatten(3)  # (B, 3, 3, n)
    found = []
    for picture, inside in zip(pictures, (mask > 0.5).flatten(1), strict=True):
        places = inside.nonzero()[:, 0]
        if len(places):
            drawn = places[torch.randint(len(places), (PIXELS,), generator=generator)]
            found.append(picture[:, :, drawn].transpose(1, 2))
    return (255 * torch.stack(found)).round().byte() if found else torch.zeros(0, 3, PIXELS, 3, dtype=torch.uint8)


def add_piece(folder: Path, net: InferenceNetwork, stream: SharedViewStream, generator: Generator) -> int:
    """Add a file of answers to a folder, and return their number."""
    made: list[Tensor] = []
    while sum(map(len, made)) < PIECE_LENGTH:
        made.append(make_answers(net, stream.draw_batch(), generator))
    answers = torch.cat(made)
    path = folder / f"{len(list_pieces(folder)):06}.pt"
    with replace_file(path) as unfinished, unfinished.open("wb") as file:
        torch.save(answers, file)
    return len(answers)


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    net = InferenceNetwork(weights.load(options.weights or weights.find_shipped("gknet-s")))
    options.out.mkdir(parents=True, exist_ok=True)
    pieces = len(list_pieces(options.out))
    stream = open_stream(options.data, seed=1 + pieces)
    generator = Generator().manual_seed(pieces)
    make_pieces(
        lambda: add_piece(options.out, net, stream, generator),
        lambda: len(list_pieces(options.out)),
        options.minutes,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.heads.answers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of shards; only trained on")
    parser.add_argument("--out", type=Path, required=True, help="folder of answers")
    parser.add_argument("--weights", type=Path, help="weight file; default: the shipped gknet-s")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this many minutes")
    options = parser.parse_args()
    return run_command("heads.answers", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
