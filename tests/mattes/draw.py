"""Draw the mattes of this folder again, all but the drum: `python -m tests.mattes.draw`. Needs PyMatting.

Each is the alpha that closed-form matting (Levin et al., CVPR 2006; PyMatting) finds in a photograph between an
outline drawn by hand and moved inwards and outwards: hair and fur as they are, nothing painted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFilter

FOLDER = Path(__file__).parent
DEMO = FOLDER.parents[1] / "gknet" / "demo"

# Outlines, and half the width of what is unknown around them: in pixels of the photograph as it is used here.
_ASTRONAUT = (
    "155,75 165,50 195,25 230,18 265,30 295,60 300,95 285,120 272,135 262,165 258,182 282,200 302,225 308,242 345,265 "
    "360,310 362,350 420,345 470,370 495,420 503,470 511,511 20,511 22,470 20,400 35,300 50,260 75,235 115,215 115,190 "
    "135,160 185,150 182,130 172,118 158,100"
)
_CAT = "0,135 28,112 35,60 40,5 45,0 398,0 385,35 362,75 368,110 360,160 335,200 310,240 300,270 290,299 0,299"
_UPPER_DOG = (
    "250,150 300,110 380,85 450,100 500,140 545,195 575,280 580,340 560,440 520,490 475,480 478,400 450,415 400,405 "
    "360,400 365,440 320,455 270,455 248,400 242,300 250,200"
)
_LOWER_DOG = (
    "495,760 500,660 545,600 600,582 660,590 720,630 770,680 805,750 805,850 795,940 760,955 710,940 712,880 690,895 "
    "640,885 590,885 600,930 670,990 672,1050 620,1070 560,1020 530,960 510,850"
)


def matte(photograph: Image.Image, outline: str, reach: int) -> Image.Image:
    """Alpha, "L", of what lies in the outline."""
    from pymatting import estimate_alpha_cf

    inside = Image.new("L", photograph.size)
    corners = [(int(x), int(y)) for x, y in (corner.split(",") for corner in outline.split())]
    ImageDraw.Draw(inside).polygon(corners, fill=255)
    size = 2 * reach + 1
    surely, perhaps = (np.asarray(inside.filter(kind(size))) for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter))
    trimap = np.where(surely > 0, 1.0, np.where(perhaps > 0, 0.5, 0.0))
    alpha = estimate_alpha_cf(np.asarray(photograph.convert("RGB")) / 255.0, trimap)
    # What is nearly clear or nearly full is so: programs that cut out do the same.
    return Image.fromarray(np.rint(255 * ((alpha - 0.02) / 0.96).clip(0, 1)).astype(np.uint8))


def main() -> None:
    """Writes them."""
    dogs = Image.open(DEMO / "real.jpg").resize((900, 1200))
    upper, lower = (200, 40, 640, 540), (440, 540, 860, 1120)
    for name, photograph, outline, reach, box in (
        ("astronaut", Image.fromarray(skimage.data.astronaut()), _ASTRONAUT, 9, None),
        ("cat", Image.fromarray(skimage.data.chelsea()), _CAT, 12, None),
        ("upper-dog", dogs, _UPPER_DOG, 16, upper),
        ("lower-dog", dogs, _LOWER_DOG, 16, lower),
    ):
        found = matte(photograph, outline, reach)
        found.crop(box).save(FOLDER / f"{name}.png")
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
