"""Fitted color maps, ready to be applied at any strength, variant and trims without another run of the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from gknet.arguments import (
    check_array,
    check_depth,
    check_options,
    check_picture,
    check_progress,
    check_selection,
    check_trims,
    check_variant,
)
from gknet.color.encoding import Encoding, Space
from gknet.errors import InputError
from gknet.files.pillow import from_pillow, to_pillow
from gknet.network.extensions.variants import Variant
from gknet.pixels.box import Box
from gknet.pixels.pixels import as_rgb
from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.recolor import recolor_pixels
from gknet.transfer.sample import Sample
from gknet.transfer.trims import NO_TRIMS, Trims

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, steps done and steps in all, on the calling thread. To cancel, raise
`gknet.CancelledError` in it; the call then raises that error and changes nothing."""

AnyPicture = TypeVar("AnyPicture", np.ndarray, Image.Image)


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress, by default."""
    del stage, done, total


@dataclass(frozen=True, slots=True)
class LayerFit:
    """A fitted color map for one layer, separate from the layer's pixels.

    sample: of the layer, for the variants.
    change: root mean square of the change over the foreground, in levels of 255, at network size.
    variants: the answers to choose from, at most five that look different. The first is the network's own; the others
    follow, likeliest first.
    """

    transfer: ColorTransfer
    sample: Sample
    encoding: Encoding
    device: torch.device
    change: float
    variants: tuple[Variant, ...]

    @property
    def space(self) -> Space:
        """Color space of the layer's values."""
        return self.encoding.space

    def apply(
        self,
        layer: np.ndarray,
        *,
        selection: np.ndarray | None = None,
        strength: float = 1.0,
        variant: int = 1,
        trims: Trims = NO_TRIMS,
        on_progress: Progress = ignore_progress,
    ) -> np.ndarray:
        """Return the harmonized layer; same shape, type and alpha.

        layer: (h, w, C), the one that was fitted or a resized copy of it, in the same colors.
        selection: (h, w) uint8, the share of the change that each pixel takes.   strength: in [0, 1], of the change and
        of the trims.   variant: number of one of `variants`, from 1.   trims: added to the harmonized colors.
        Raises InputError for mismatched arguments, TypeError for one of the wrong type.
        """
        check_array("layer", layer)
        check_progress(on_progress)
        as_rgb(layer)  # validates the shape
        check_options(strength, None)
        transfer = _add_choices(self, variant, trims)
        check_depth(layer)
        if selection is not None:
            check_selection(selection, layer.shape[:2])
        return recolor_pixels(
            replace(transfer, layer_size=(layer.shape[0], layer.shape[1])),
            layer,
            self.encoding,
            mask=selection,
            strength=strength,
            device=self.device,
            on_progress=lambda done, total: on_progress("apply", done, total),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CompositeFit:
    """A fitted color map for a composite's foreground, separate from the composite's pixels.

    sample, variants: as in `LayerFit`.   box: around the foreground.   mask: (H, W), 0 where nothing changes.
    """

    transfer: ColorTransfer
    sample: Sample
    encoding: Encoding
    device: torch.device
    variants: tuple[Variant, ...]
    box: Box
    mask: np.ndarray

    def apply(
        self,
        composite: AnyPicture,
        *,
        strength: float = 1.0,
        variant: int = 1,
        trims: Trims = NO_TRIMS,
        on_progress: Progress = ignore_progress,
    ) -> AnyPicture:
        """Return the composite with its foreground harmonized; a new picture of the same type, size and depth.

        composite: the one that was fitted.   Other arguments and errors as in `LayerFit.apply`.
        """
        check_picture("composite", composite)
        check_progress(on_progress)
        check_options(strength, None)
        transfer = _add_choices(self, variant, trims)
        pixels = from_pillow(composite) if isinstance(composite, Image.Image) else composite
        if pixels.shape[:2] != self.mask.shape:
            height, width = self.mask.shape
            raise InputError(f"The fit belongs to a composite of {width} x {height} pixels.", "Fit this one, too.")
        box = self.box
        inside = (slice(box.top, box.bottom), slice(box.left, box.right))
        result = pixels.copy()
        result[inside] = recolor_pixels(
            transfer,
            pixels[inside],
            self.encoding,
            mask=self.mask[inside],
            strength=strength,
            device=self.device,
            on_progress=lambda done, total: on_progress("apply", done, total),
        )
        if isinstance(composite, Image.Image):
            return to_pillow(result, composite, self.encoding.profile)
        return result


def _add_choices(fit: LayerFit | CompositeFit, variant: int, trims: Trims) -> ColorTransfer:
    """Return a fit's map with a variant and trims; the map itself, to the bit, for the first variant without trims."""
    check_variant(variant)
    check_trims(trims)
    if variant > len(fit.variants):
        offered = f"{len(fit.variants)} versions" if len(fit.variants) > 1 else "one version"
        raise InputError(f"Invalid variant {variant}.", f"This object has only {offered}.")
    transfer, curve = fit.transfer, fit.variants[variant - 1].curve
    if curve is not None:
        # The map's own curves are coarser than this one, so they may overshoot where it is steep.
        transfer = transfer.followed_by_curve(curve.apply, fit.sample).roll_off(fit.sample)
    return transfer if trims == NO_TRIMS else transfer.followed_by(trims.matrix)
