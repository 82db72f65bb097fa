"""Individual random crops of photographs: a network overfits to photographs that it always sees whole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

SMALLEST = 0.5
"""Smallest side of a crop, as a share of the photograph's."""
STRETCH = 1.18
"""Largest factor by which a crop's height or width is stretched or squeezed."""
KEPT = 0.65
"""Smallest share of a foreground that a crop must contain."""
MASK_SHARE = (0.01, 0.75)
"""Smallest and largest share of a crop that its foreground may cover."""

_CELLS = 32
"""Foregrounds are measured on a grid with this many cells per side."""
_TRIES = 8
_AT_ONCE = 512


def sum_masks(masks: Tensor) -> Tensor:
    """Return cumulative sums of each mask on a grid, (M, _CELLS + 1, _CELLS + 1), in cells.

    masks: (M, S, S) uint8.
    """
    found = []
    for start in range(0, len(masks), _AT_ONCE):
        some = masks[start : start + _AT_ONCE, None]
        cells = F.adaptive_avg_pool2d(some.float() / 255, _CELLS)[:, 0]
        found.append(F.pad(cells.cumsum(1).cumsum(2), (1, 0, 1, 0)))
    return torch.cat(found)


def draw_parts(sums: Tensor, generator: Generator) -> Tensor:
    """Draw a crop for each mask, (B, 4): top, left, height and width as shares of the side.

    sums: as `sum_masks` returns them. A crop contains most of the foreground; if no attempt succeeds, it is the whole
    photograph.
    """
    batch, device = len(sums), sums.device

    def drawn() -> Tensor:
        return torch.rand(batch, _TRIES, generator=generator, device=device)

    share, stretch = SMALLEST + (1 - SMALLEST) * drawn(), STRETCH ** (2 * drawn() - 1)
    height, width = (share * stretch).clamp_max(1), (share / stretch).clamp_max(1)
    top, left = drawn() * (1 - height), drawn() * (1 - width)
    rows, columns = (
        [(_CELLS * edge).round().long() for edge in edges] for edges in ((top, top + height), (left, left + width))
    )

    def within(row: int, column: int) -> Tensor:
        return sums.flatten(1).gather(1, rows[row] * (_CELLS + 1) + columns[column])

    foreground = within(1, 1) - within(0, 1) - within(1, 0) + within(0, 0)
    area = ((rows[1] - rows[0]) * (columns[1] - columns[0])).clamp_min(1)
    least, most = MASK_SHARE
    fits = (foreground >= KEPT * sums[:, -1, -1:]) & (foreground >= least * area) & (foreground <= most * area)
    first = fits.int().argmax(dim=1, keepdim=True)
    part = torch.cat([edge.gather(1, first) for edge in (top, left, height, width)], dim=1)
    return torch.where(fits.any(dim=1, keepdim=True), part, part.new_tensor([0.0, 0.0, 1.0, 1.0]))


def cut_out_parts(pictures: Tensor, parts: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """Crop parts (B, 4) of pictures (B, C, S, S) to (B, C, size, size), and flip those `mirrored` (B,) horizontally."""
    top, left, height, width = parts.unbind(1)
    turn = torch.where(mirrored, -1.0, 1.0)
    nothing = torch.zeros_like(top)
    rows = torch.stack([nothing, height, 2 * top + height - 1], dim=1)
    columns = torch.stack([turn * width, nothing, 2 * left + width - 1], dim=1)
    places = F.affine_grid(
        torch.stack([columns, rows], dim=1), [len(pictures), 1, size, size], align_corners=False
    )  # (B, size, size, 2)
    return F.grid_sample(pictures, places, padding_mode="border", align_corners=False)
