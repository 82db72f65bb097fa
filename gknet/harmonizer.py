"""Harmonization of pictures of any size and depth: the network runs at its own size, its result applies to every
pixel.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gknet import edges
from gknet.arguments import (
    check_array,
    check_depth,
    check_encoding,
    check_number,
    check_options,
    check_path,
    check_picture,
    check_progress,
    check_selection,
    check_trims,
    check_variant,
    name_type,
    read_pair,
)
from gknet.color.encoding import ENCODED_SRGB, Encoding
from gknet.errors import InputError, NoBackgroundError, NoForegroundError, WeightsError
from gknet.files.pillow import find_profile, from_pillow
from gknet.fits import AnyPicture, CompositeFit, LayerFit, Progress, ignore_progress
from gknet.network import weights
from gknet.network.device import choose_device
from gknet.network.extensions.variants import Variant
from gknet.network.inference import InferenceNetwork
from gknet.network.model import GKNet
from gknet.pixels import reduction
from gknet.pixels.box import Box, bounding_box, outside_error
from gknet.pixels.pixels import as_rgb, check_scale_of_floats, fill_gaps, validate_mask
from gknet.pixels.reduction import Sight
from gknet.transfer.color_transfer import ColorTransfer
from gknet.transfer.cores import limit_threads
from gknet.transfer.fit import CurveFit
from gknet.transfer.sample import Sample
from gknet.transfer.trims import NO_TRIMS, Trims

SMALLEST_OBJECT = 24
"""Pixels at network size: for a smaller object, the network's input is a window around it."""
OBJECT_IN_WINDOW = 48
"""Size of such an object in its window, pixels at network size."""

_LARGER = 2
"""Largest factor by which a small picture is enlarged for the network."""

_LIGHT = 16
"""Width of a network that gains less from a CPU's last core than the fit does: 32 ms on one, 22 ms on two."""

_LONGEST = 300_000
"""Pixels of a canvas's side."""
_ROUNDING = 2
"""Pixels by which a reduced reference's sides may miss the canvas's aspect ratio."""


class Harmonizer:
    """A trained network, ready to harmonize.

    >>> harmonizer = Harmonizer.from_pretrained("gknet-s")
    >>> harmonized = harmonizer(composite, mask)

    network: the trained network.   net: a copy for inference, made at construction; later training does not change it.
    All methods raise TypeError for an argument of the wrong type, InputError for any other invalid argument.
    """

    def __init__(self, network: GKNet, device: torch.device | str = "cpu") -> None:
        if not isinstance(network, GKNet):
            raise TypeError(f"network must be a GKNet, not {name_type(network)}. Load one: Harmonizer.from_pretrained.")
        self.network = network
        self.device = choose_device(device)
        self.net = InferenceNetwork(network).to(self.device)
        if self.device.type == "cuda":
            self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str] = "gknet-s", device: torch.device | str = "auto"
    ) -> Self:
        """Load trained weights.

        name_or_path: a shipped name, a weight file (.safetensors), or a folder written by `save_pretrained`.
        device: "cpu", "cuda", "mps", or "auto" for the best available.
        Raises WeightsError if the weights are missing or unusable, InputError if the device is not available.
        """
        check_path("name_or_path", name_or_path)
        return cls(weights.load(weights.find(name_or_path)), choose_device(device))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the network and its settings to `folder`/model.safetensors, for `from_pretrained` and `--model`.

        Creates the folder if it is missing. Existing weights are replaced completely or not at all.
        Numbers are stored in half precision.   Raises WeightsError if the file cannot be written.
        """
        check_path("folder", folder)
        path = Path(folder, weights.FILE)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            weights.save(self.network, path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise WeightsError(
                f"{path} cannot be written: {reason}.", "Name another folder, or free some space."
            ) from error

    def __call__(
        self,
        composite: AnyPicture,
        mask: np.ndarray | Image.Image,
        *,
        strength: float = 1.0,
        variant: int = 1,
        trims: Trims = NO_TRIMS,
        network_size: int | None = None,
        encoding: Encoding | None = None,
        on_progress: Progress = ignore_progress,
    ) -> AnyPicture:
        """Return the composite with its foreground harmonized; a new picture of the same type, size and depth.

        composite: (H, W) or (H, W, C) uint8, uint16, float16 or float32, C = 1 gray, 2 gray + alpha, 3 RGB,
        4 RGB + alpha; or a PIL image. Integers span 0..max, floats are encoded in [0, 1] and may exceed it.
        mask: (H, W) bool, uint8, uint16 or float in [0, 1], or a PIL image of mode "1" or "L"; full = foreground.
        strength: 0 (no change) .. 1, of the change and of the trims.   variant: number of the answer, from 1, the
        network's own, to at most 5 (`LayerFit.variants`).   trims: added to the harmonized colors.
        network_size: long side of the network's input, pixels; None for the network's default
        (`GKNetConfig.network_size`). A small picture is enlarged at most twice.
        encoding: of the pixel values; None for sRGB, or for what a PIL image's file says, which the result keeps as an
        ICC profile.
        Where the mask is 0 the result equals the composite bit for bit; alpha never changes.
        Raises InputError for invalid or mismatched pictures and for a variant that the object lacks, NoForegroundError
        and NoBackgroundError for an empty or full mask.
        """
        check_progress(on_progress)
        check_options(strength, network_size)
        check_variant(variant)
        check_trims(trims)
        fit = self.fit(composite, mask, network_size=network_size, encoding=encoding, on_progress=on_progress)
        return fit.apply(composite, strength=strength, variant=variant, trims=trims, on_progress=on_progress)

    def fit(
        self,
        composite: np.ndarray | Image.Image,
        mask: np.ndarray | Image.Image,
        *,
        network_size: int | None = None,
        encoding: Encoding | None = None,
        on_progress: Progress = ignore_progress,
    ) -> CompositeFit:
        """Fit the network's change to a composite, ready to be applied at any strength, variant and trims.

        Arguments and errors as in `__call__`.
        """
        check_picture("composite", composite)
        check_picture("mask", mask)
        check_progress(on_progress)
        if isinstance(composite, Image.Image):
            encoding = Encoding(profile=find_profile(composite)) if encoding is None else encoding
            pixels = from_pillow(composite)
        else:
            pixels = composite
            encoding = ENCODED_SRGB if encoding is None else encoding
        check_encoding("encoding", encoding)
        rgb = as_rgb(pixels)
        flat = validate_mask(mask, pixels.shape[:2])
        box = bounding_box(flat)
        check_options(1.0, network_size)
        check_depth(rgb)
        check_scale_of_floats(rgb)
        on_progress("reduce", 0, 1)
        sight = self.make_sight(rgb, flat, box, encoding, network_size)
        transfer, _, variants = self._fit(sight, box, on_progress)
        inside = (slice(box.top, box.bottom), slice(box.left, box.right))
        sample = Sample.take(rgb[inside], flat[inside], encoding)
        return CompositeFit(transfer.roll_off(sample), sample, encoding, self.device, variants, box, flat)

    def layer(
        self,
        foreground: np.ndarray,
        background: np.ndarray,
        at: tuple[int, int] = (0, 0),
        *,
        strength: float = 1.0,
        variant: int = 1,
        trims: Trims = NO_TRIMS,
        network_size: int | None = None,
        encoding: Encoding = ENCODED_SRGB,
        clean_edges: bool = False,
        on_progress: Progress = ignore_progress,
    ) -> np.ndarray:
        """Return the foreground layer, harmonized with the background beneath it; same shape, type and alpha.

        foreground: (h, w, 4) RGB with straight alpha, or (h, w, 2) gray; background: (H, W, 3) RGB or (H, W)
        gray; both uint8, uint16, float16 or float32, not necessarily the same.   at: (x, y) of the layer's top
        left corner on the background, pixels, may be negative.   clean_edges: first remove the cut-out's old background
        from its soft edge (`gknet.edges`); needs PyMatting.
        Other arguments and errors as in `__call__`. Also raises NoForegroundError if the layer is entirely outside the
        background, and MissingPackageError without PyMatting.
        """
        check_array("foreground", foreground)
        check_array("background", background)
        check_progress(on_progress)
        if foreground.ndim != 3 or foreground.shape[2] not in (2, 4):
            raise InputError(
                f"Expected a foreground of shape (h, w, 4) or (h, w, 2), got {foreground.shape}.",
                "Pass a cut-out with straight alpha.",
            )
        check_options(strength, network_size)
        check_variant(variant)
        check_trims(trims)
        check_depth(foreground)
        as_rgb(background)  # validates the shape
        canvas = (background.shape[1], background.shape[0])
        if clean_edges:
            _find_visible(as_rgb(foreground), None, read_pair("at", at), canvas)  # before work on what nobody sees
            foreground = edges.clean_edges(foreground, on_progress)
        fit = self.fit_layer(
            foreground,
            background,
            at=at,
            canvas=canvas,
            network_size=network_size,
            encoding=encoding,
            on_progress=on_progress,
        )
        return fit.apply(foreground, strength=strength, variant=variant, trims=trims, on_progress=on_progress)

    def fit_layer(
        self,
        layer: np.ndarray,
        reference: np.ndarray,
        *,
        at: tuple[int, int],
        canvas: tuple[int, int],
        selection: np.ndarray | None = None,
        opacity: float = 1.0,
        network_size: int | None = None,
        encoding: Encoding = ENCODED_SRGB,
        reference_encoding: Encoding | None = None,
        on_progress: Progress = ignore_progress,
    ) -> LayerFit:
        """Fit the network's change to a layer, ready to be applied to it at any strength, variant and trims.

        layer: (h, w, C), C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGB + alpha, straight alpha.   reference: (H, W)
        or (H, W, C) likewise, everything below the layer, covering the canvas, at full size or reduced; transparent
        areas are filled with its mean color.   canvas: (width, height) in the layer's pixels.   at: (x, y) of the layer
        on the canvas.   selection: (h, w) uint8, 255 where the layer is the foreground; the rest is part of the
        scene.   opacity: in (0, 1], of the unselected part; the network sees the foreground as if it were opaque.
        encoding: of the layer.   reference_encoding: of the reference, None for the layer's.
        Raises InputError, NoForegroundError (also for an opaque layer without selection) and NoBackgroundError.
        """
        check_array("layer", layer)
        check_array("reference", reference)
        check_progress(on_progress)
        check_encoding("encoding", encoding)
        if reference_encoding is not None:
            check_encoding("reference_encoding", reference_encoding)
        at, canvas = read_pair("at", at), read_pair("canvas", canvas)
        rgba, below = as_rgb(layer), as_rgb(reference)
        _check_canvas(canvas, (below.shape[1], below.shape[0]))
        check_options(1.0, network_size)
        check_depth(rgba)
        check_depth(below)
        check_number("opacity", opacity)
        if not 0 < opacity <= 1:
            raise InputError(f"Invalid opacity {opacity!r}.", "It must be above 0 and at most 1.")
        everything = Box(0, 0, *canvas)
        box = Box(at[0], at[1], rgba.shape[1], rgba.shape[0])
        visible = _find_visible(rgba, selection, at, canvas)
        check_scale_of_floats(rgba)
        check_scale_of_floats(below)
        below = fill_gaps(below)
        longest = self._choose_network_size(network_size)
        window = _choose_window(visible, everything, longest)
        on_progress("reduce", 0, 1)
        size = self._choose_sight_size(window, longest)
        # The unselected part of the layer is visible, too.
        shown = visible if selection is None else box
        sight = reduction.reduce_layer(
            rgba,
            below,
            box,
            shown,
            everything,
            window,
            size,
            encoding=encoding,
            below_encoding=encoding if reference_encoding is None else reference_encoding,
            selection=selection,
            opacity=opacity,
        )
        if sight.mask.min() > 0.995:
            raise NoBackgroundError(
                "The foreground covers the whole background.", "Erase around the object, or select it."
            )
        transfer, change, variants = self._fit(sight, box, on_progress)
        sample = Sample.take(rgba, selection, encoding, visible.shift(-at[0], -at[1]))
        return LayerFit(transfer.roll_off(sample), sample, encoding, self.device, change, variants)

    def _fit(self, sight: Sight, box: Box, on_progress: Progress) -> tuple[ColorTransfer, float, tuple[Variant, ...]]:
        """Return the network's change as a map from any color at any position in the box, `LayerFit.change`, and
        `LayerFit.variants`.
        """
        if not np.isfinite(sight.composite).all():
            raise InputError("The picture contains NaN or infinite values.", "Replace them with finite values first.")
        composite, foreground = sight.composite.clip(0, 1), sight.foreground.clip(0, 1)
        on_progress("network", 0, 1)
        place, size = sight.locate(box), (box.height, box.width)
        answer, fit = self._run_beside_fit(
            composite,
            sight.mask,
            lambda: CurveFit(mask=sight.mask, foreground=foreground, layer_box=place, layer_size=size),
        )
        if not np.isfinite(answer).all():
            raise WeightsError("The network's answer contains NaN or infinite values.", "Use other weights.")
        on_progress("network", 1, 1)
        covered = 3 * float(np.square(sight.mask, dtype=np.float64).sum())
        change = math.sqrt(np.square(answer - composite).sum() / covered) if covered else 0.0
        before, after = (torch.from_numpy(picture).permute(2, 0, 1) for picture in (composite, answer))
        variants = self.net.predict_variants(before, after, torch.from_numpy(sight.mask))
        return ColorTransfer(fit.fit_curves(composite, answer), size), 255 * change, tuple(variants)

    def _run_beside_fit(
        self, composite: np.ndarray, mask: np.ndarray, prepare: Callable[[], CurveFit]
    ) -> tuple[np.ndarray, CurveFit]:
        """Return the network's result, and the fit for it.

        Most of the fit does not depend on the result. If the network would leave a core half idle, the two run in
        parallel.
        """
        threads = torch.get_num_threads()
        if threads == 1 or (self.device.type == "cpu" and self.net.config.width > _LIGHT):
            return self._run_network(composite, mask), prepare()
        with ThreadPoolExecutor(1, "network", limit_threads, (threads - 1,)) as beside:
            answer = beside.submit(self._run_network, composite, mask)
            fit = prepare()
            return answer.result(), fit

    def make_sight(
        self, rgb: np.ndarray, mask: np.ndarray, box: Box, encoding: Encoding, network_size: int | None = None
    ) -> Sight:
        """Return the network's input for a composite (H, W, 3 or 4).

        mask: (H, W), as from `gknet.pixels.pixels.validate_mask`.   box: contains all of the mask above 0.
        encoding: of the composite.   network_size: as in `__call__`.
        """
        longest = self._choose_network_size(network_size)
        window = _choose_window(box, Box(0, 0, rgb.shape[1], rgb.shape[0]), longest)
        return reduction.reduce_masked(rgb, mask, box, window, self._choose_sight_size(window, longest), encoding)

    def _run_network(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the network's picture (h, w, 3) float32 for a composite and mask at network size."""
        with torch.inference_mode():
            picture = torch.from_numpy(composite).to(self.device).permute(2, 0, 1)[None]  # (1, 3, h, w)
            harmonized: Tensor = self.net(picture, torch.from_numpy(mask).to(self.device)[None, None])
            return harmonized[0].permute(1, 2, 0).float().cpu().numpy()

    def _choose_network_size(self, asked: int | None) -> int:
        """Return the requested size, or the network's default for None."""
        return self.net.config.network_size if asked is None else int(asked)

    def _choose_sight_size(self, window: Box, network_size: int) -> tuple[int, int]:
        """Return the (height, width) of the network's input for a window: multiples of what it needs."""
        multiple = self.net.config.multiple
        scale = min(_LARGER, network_size / max(window.height, window.width))

        def fit(side: int) -> int:
            return max(multiple, round(side * scale / multiple) * multiple)

        return fit(window.height), fit(window.width)


def _check_canvas(canvas: tuple[int, int], reference: tuple[int, int]) -> None:
    """Raise InputError unless the reference, (width, height), can show a canvas of that size."""
    if not 1 <= min(canvas) <= max(canvas) <= _LONGEST:
        raise InputError(f"Invalid canvas {canvas}.", f"Each side must be from 1 to {_LONGEST} pixels.")
    scale = max(reference) / max(canvas)
    missed = max(abs(side - whole * scale) for side, whole in zip(reference, canvas, strict=True))
    if scale > 1 or missed > _ROUNDING:
        raise InputError(
            f"A reference of {reference[0]} x {reference[1]} pixels cannot show a canvas of {canvas[0]} x {canvas[1]}.",
            "Pass the whole canvas, at its own size or reduced.",
        )


def _choose_window(box: Box, canvas: Box, network_size: int) -> Box:
    """Return the part of the canvas that the network looks at: all of it, or the surroundings of a tiny object."""
    side = max(box.width, box.height)
    if side * network_size >= SMALLEST_OBJECT * max(canvas.width, canvas.height):
        return canvas
    # At least as many pixels as the network's input has, because context is free up to that size.
    reach = max(network_size, math.ceil(side * network_size / OBJECT_IN_WINDOW))
    width, height = min(reach, canvas.width), min(reach, canvas.height)
    left = box.left + box.width // 2 - width // 2
    top = box.top + box.height // 2 - height // 2
    left = min(max(left, 0), canvas.width - width)
    top = min(max(top, 0), canvas.height - height)
    return Box(left, top, width, height)


def _find_visible(rgba: np.ndarray, selection: np.ndarray | None, at: tuple[int, int], canvas: tuple[int, int]) -> Box:
    """Return the box on a canvas (width, height) around all that is visible of a layer's foreground.

    Raises NoForegroundError if nothing is.
    """
    visible = bounding_box(_find_coverage(rgba, selection)).shift(*at).intersect(Box(0, 0, *canvas))
    if visible is None:
        raise outside_error()
    return visible


def _find_coverage(rgba: np.ndarray, selection: np.ndarray | None) -> np.ndarray:
    """Return (h, w), above 0 where the layer is foreground. Raises NoForegroundError for an opaque layer."""
    if selection is None:
        if rgba.shape[2] == 3:
            raise NoForegroundError(
                "The layer is opaque.", "Erase the background around the object, or select the object."
            )
        return rgba[..., 3] > 0  # NaN and what lies below 0 count as transparent
    check_selection(selection, rgba.shape[:2])
    if not selection.any():
        raise NoForegroundError("The selection does not contain any of the layer.", "Select the object, or nothing.")
    return selection if rgba.shape[2] == 3 else (selection > 0) & (rgba[..., 3] > 0)
