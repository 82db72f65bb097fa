"""Show every kind of composite on a contact sheet:

    python -m training.data.synthesis --pool FOLDER --sheet sheet.png

Each row shows a validation photograph, its object after every kind of change, and every rendering of the whole
photograph.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator

from gknet.errors import HarmonizeError
from gknet.pixels.side_by_side import join_side_by_side
from training.data.sample import MASK_SHARE, TRIES, to_pixels
from training.data.shards import Photographs, find_shards, read_photographs
from training.data.synthesis.recoloring import recolor
from training.data.synthesis.scenes import RENDERINGS
from training.data.synthesis.wide import WIDE_KINDS

SIZE = 160
"""Height and width of each picture."""


def make_contact_sheet(photographs: Photographs, rows: int) -> np.ndarray:
    """Return the contact sheet (H, W, 3) uint8, with one row per photograph."""
    first = [int(masks[0]) for masks in photographs.masks_of]
    pictures = torch.from_numpy(photographs.pictures).float() / 255
    masks = torch.from_numpy(photographs.masks[first] >= 128)[:, None].float()
    generator = Generator().manual_seed(0)
    sheet = []
    for index in range(min(rows, len(pictures))):
        real, mask = pictures[index : index + 1], masks[index : index + 1]
        row = {"real": to_pixels(real)}
        for number, name in enumerate(WIDE_KINDS):
            kind = torch.tensor([number])
            for _ in range(TRIES):
                other = torch.randint(len(pictures), (1,), generator=generator)
                made = recolor(real, mask, pictures[other], masks[other], kind, generator, WIDE_KINDS)
                if made.usable:
                    break
            row[name] = to_pixels(made.composite)
        for name, render in RENDERINGS.items():
            row[f"scene: {name}"] = to_pixels(render(real, generator).clamp(0, 1))
        sheet.append(row)
    return join_side_by_side(sheet)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.data.synthesis",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is shown")
    parser.add_argument("--photographs", type=int, default=10, help="rows of the sheet")
    parser.add_argument("--sheet", type=Path, required=True, help="the picture to write")
    options = parser.parse_args()
    try:
        photographs = read_photographs(find_shards([options.pool]), SIZE, validation=True, mask_share=MASK_SHARE)
    except (HarmonizeError, OSError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    Image.fromarray(make_contact_sheet(photographs, options.photographs)).save(options.sheet)
    print(f"Wrote {options.sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
