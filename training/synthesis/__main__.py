"""Real photographs and their composites to look at: `python -m training.synthesis --pool FOLDER --sheet sheet.png`."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gknet.errors import HarmonizeError
from gknet.side_by_side import side_by_side
from training.shards import find_shards, read_photographs
from training.validation import MASK_SHARE, SIZE, Sample, validation_samples


def contact_sheet(samples: list[Sample], photographs: int) -> np.ndarray:
    """(H, W, 3) uint8: a row a photograph, the real one first, then a composite of each kind."""
    rows = []
    for _, group in itertools.groupby(samples, key=lambda sample: sample.key):
        composites = list(group)
        row = {"real": composites[0].real} | {sample.kind: sample.composite for sample in composites}
        rows.append(row)
    return side_by_side(rows[:photographs])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.synthesis", description=__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is shown")
    parser.add_argument("--photographs", type=int, default=10, help="rows of the sheet")
    parser.add_argument("--sheet", type=Path, required=True, help="the picture to write")
    options = parser.parse_args()
    try:
        photographs = read_photographs(find_shards([options.pool]), SIZE, validation=True, mask_share=MASK_SHARE)
    except (HarmonizeError, OSError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    samples = list(itertools.islice(validation_samples(photographs), 7 * options.photographs))
    Image.fromarray(contact_sheet(samples, options.photographs)).save(options.sheet)
    print(f"Wrote {options.sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
