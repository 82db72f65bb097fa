"""What of a picture the harmonized foreground depends on pixel by pixel, beyond means over all of it."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Window(NamedTuple):
    """Rows top..bottom and columns left..right, all even, of a level of height x width pixels.

    The last level of kernels, modulation and head is worked out in it alone: the rest of the picture takes no part in
    the result, which is the composite there.
    """

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    @classmethod
    def around(cls, mask: Tensor, kernel_size: int) -> Self:
        """The window that is enough for the foreground of all of a batch.

        mask: (B, 1, H, W), H and W even.   kernel_size: N of Eq. 6.
        """
        height, width = mask.shape[2:]
        inside = (mask > 0).any(dim=0)[0]  # (H, W)
        # Errors at the window's edge move inwards: by at most one pixel where the deeper level is enlarged, one in the
        # 3x3 convolution after it, N // 2 in Eq. 6, and one where the head's answer is enlarged.
        margin = 3 + kernel_size // 2
        top, bottom = _reach(inside.any(dim=1), height, margin)
        left, right = _reach(inside.any(dim=0), width, margin)
        return cls(top, bottom, left, right, height, width)

    @classmethod
    def everything(cls, mask: Tensor) -> Self:
        """The window that leaves nothing out. mask: as `around`."""
        height, width = mask.shape[2:]
        return cls(0, height, 0, width, height, width)

    def cut(self, picture: Tensor) -> Tensor:
        """The window's part, a view, of (B, C, H, W) at the window's level or at another size of the same picture."""
        height, width = picture.shape[2:]
        rows = slice(self.top * height // self.height, self.bottom * height // self.height)
        columns = slice(self.left * width // self.width, self.right * width // self.width)
        return picture[:, :, rows, columns]


def _reach(inside: Tensor, length: int, margin: int) -> tuple[int, int]:
    """First and last + 1 of what is inside, with the margin around it, even; the first two pixels if nothing is."""
    found = torch.nonzero(inside)
    if not len(found):
        return 0, 2
    first, last = int(found[0]), int(found[-1])
    return max(0, first - margin) // 2 * 2, min(length, (last + margin + 2) // 2 * 2)
