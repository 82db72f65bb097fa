"""A pool of photographs that may be published: `python -m tests.free_pool FOLDER`.

Writes one shard, as `training.data.shards` reads it, of eight photographs and a mask of one object in each; all of them
belong to the validation split. A picture of the docs is made of it: who took them stands in `docs/CREDITS.md`.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

from tests.mattes.draw import DEMO, FOLDER
from training.data.shards import is_validation

# Outlines drawn by hand, in pixels of the photograph.
CUP = (
    "77,225 85,185 110,120 145,82 172,72 178,55 215,28 287,18 350,30 395,65 418,66 425,80 412,115 450,150 470,190 "
    "478,230 465,275 430,325 375,365 300,388 235,382 170,350 115,305 85,260"
)
ROCKET = "321,126 330,145 330,170 334,185 332,345 338,407 308,407 308,370 312,180 312,150"
PAGODA = (
    "206,28 216,32 220,60 255,95 321,120 305,135 298,165 329,178 320,195 315,235 353,248 340,262 338,300 345,318 "
    "371,330 345,355 330,375 300,395 200,372 180,340 75,335 85,290 68,265 66,250 105,240 98,195 80,185 85,172 115,150 "
    "95,130 98,112 150,95 188,62 196,32"
)
UPPER_DOG, LOWER_DOG = (200, 40, 640, 540), (440, 540, 860, 1120)
"""Where the dogs' mattes lie in the photograph at 900 x 1200."""


def objects() -> dict[str, tuple[Image.Image, Image.Image]]:
    """Name -> photograph "RGB" and mask "L" of one size. No two are the same photograph but the two dogs'."""
    from sklearn.datasets import load_sample_image  # takes a second: only where it is needed

    samples = {
        name: Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")
    }
    dogs = _read(DEMO / "real.jpg", "RGB").resize((900, 1200))
    flower = Image.fromarray(load_sample_image("flower.jpg"))
    petals = Image.new("L", flower.size)
    ImageDraw.Draw(petals).ellipse((173, 86, 445, 359), fill=255)
    found = {
        "astronaut": (samples["astronaut"], _read(FOLDER / "astronaut.png", "L")),
        "cat": (samples["chelsea"], _read(FOLDER / "cat.png", "L")),
        "cup": (samples["coffee"], _outlined(CUP, samples["coffee"].size)),
        "rocket": (samples["rocket"], _outlined(ROCKET, samples["rocket"].size)),
        "flower": (flower, petals),
        "upper-dog": _within(dogs, "upper-dog", UPPER_DOG, (0, 0, 900, 640)),
        "lower-dog": _within(dogs, "lower-dog", LOWER_DOG, (300, 500, 900, 1200)),
    }
    china = Image.fromarray(load_sample_image("china.jpg"))
    found["pagoda"] = (china, _outlined(PAGODA, china.size))
    return found


def _read(path: Path, mode: str) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert(mode)


def _outlined(outline: str, size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    corners = [(int(x), int(y)) for x, y in (corner.split(",") for corner in outline.split())]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask


def _within(
    photograph: Image.Image, name: str, box: tuple[int, int, int, int], shown: tuple[int, int, int, int]
) -> tuple[Image.Image, Image.Image]:
    """A part of a photograph, and the mask whose matte lies in the box."""
    mask = Image.new("L", photograph.size)
    mask.paste(_read(FOLDER / f"{name}.png", "L"), box)
    return photograph.crop(shown), mask.crop(shown)


def write(folder: Path) -> None:
    """Writes the shard; the folder must be there."""
    with tarfile.open(folder / "free-000.tar", "w") as archive:
        for name, (photograph, mask) in objects().items():
            key = next(key for number in range(10_000) if is_validation(key := f"{name}_{number}"))
            _add(archive, f"{key}.webp", _encoded(photograph, "WEBP", quality=95))
            _add(archive, f"{key}.mask0.png", _encoded(Image.fromarray(np.asarray(mask) >= 128), "PNG"))
            _add(archive, f"{key}.json", json.dumps({"source": name}).encode())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.free_pool", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write the shard; it is made if it is missing")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write(folder)
    print(f"Wrote {folder}")


if __name__ == "__main__":
    main()
