"""The part of a picture whose pixels the harmonized foreground depends on, apart from means over the whole picture."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Window(NamedTuple):
    """Rows top..bottom and columns left..right, all even, of a level of height x width pixels.

    Kernels, modulation and head of the last level are computed only inside it. The rest of the picture does not affect
    the result, which equals the composite there.
    """

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def around(cls, mask: Tensor, kernel_size: int) -> Self:
        """Return the smallest sufficient window for the foregrounds of a whole batch.

        mask: (B, 1, H, W), H and W even.   kernel_size: N of Eq. 6.
        """
        height, width = mask.shape[2:]
        inside = (mask > 0).any(dim=0)[0]  # (H, W)
        # Errors at the window's edge spread inwards: by at most one pixel when the deeper level is enlarged, one in the
        # 3x3 convolution after it, N // 2 in Eq. 6, and one when the head's output is enlarged.
        margin = 3 + kernel_size // 2
        top, bottom = _find_extent(inside.any(dim=1), height, margin)
        left, right = _find_extent(inside.any(dim=0), width, margin)
        return cls(top, bottom, left, right, height, width)

    @classmethod
    def everything(cls, mask: Tensor) -> Self:
        """Return the window that covers the whole picture. mask: as in `around`."""
        height, width = mask.shape[2:]
        return cls(0, height, 0, width, height, width)

    def crop(self, picture: Tensor) -> Tensor:
        """Return the window's part, a view, of (B, C, H, W) at the window's level or at another size of the same
        picture.
        """
        height, width = picture.shape[2:]
        rows = slice(self.top * height // self.height, self.bottom * height // self.height)
        columns = slice(self.left * width // self.width, self.right * width // self.width)
        return picture[:, :, rows, columns]


def _find_extent(inside: Tensor, length: int, margin: int) -> tuple[int, int]:
    """Return the first and last + 1 index of True with the margin around it, even; (0, 2) if there is none."""
    found = torch.nonzero(inside)
    if not len(found):
        return 0, 2
    first, last = int(found[0]), int(found[-1])
    return max(0, first - margin) // 2 * 2, min(length, (last + margin + 2) // 2 * 2)
