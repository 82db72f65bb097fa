"""Pictures of any size and depth: the network at its own size, its answer on every full-resolution pixel."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gknet import edges, reduction, weights
from gknet.attention import ConvBlock
from gknet.color import linear_to_srgb, srgb_to_linear
from gknet.device import choose_device
from gknet.errors import BadRequest, NoBackground, NoForeground
from gknet.model import GKNet
from gknet.pillow import from_pillow, to_pillow
from gknet.pixels import as_before, as_rgb, checked_mask, without_gaps
from gknet.profile import fits, from_srgb, to_srgb
from gknet.reduction import Box, Sight
from gknet.transfer import ColourTransfer

Space = Literal["srgb", "linear"]
Progress = Callable[[str, int, int], None]
"""Called with a stage's name, steps done and steps in all, on the calling thread. To cancel, raise
`gknet.Cancelled` in it: the error comes out of the call, and nothing was changed."""

AnyPicture = TypeVar("AnyPicture", np.ndarray, Image.Image)

SMALLEST_OBJECT = 24
"""Pixels at network size: an object smaller than this is looked at through a window around it."""
OBJECT_IN_WINDOW = 48
"""Pixels at network size that such an object then has."""

_DEPTHS = (np.uint8, np.uint16, np.float16, np.float32)


def _silent(stage: str, done: int, total: int) -> None:
    """The progress nobody asked for."""
    del stage, done, total


@dataclass(frozen=True, slots=True)
class LayerFit:
    """What the network would do to one layer: a colour map, kept apart from the layer's pixels."""

    transfer: ColourTransfer
    space: Space
    device: torch.device

    def apply(
        self,
        layer: np.ndarray,
        *,
        selection: np.ndarray | None = None,
        strength: float = 1.0,
        on_progress: Progress = _silent,
    ) -> np.ndarray:
        """The layer harmonized; same shape, type and alpha.

        layer: (h, w, C), the one that was fitted or another size of it, in the same colours.
        selection: (h, w) uint8, how much of the change each pixel takes.   strength: in [0, 1].
        Raises BadRequest for what does not fit.
        """
        rgba = as_rgb(layer)
        changed = replace(self.transfer, layer_size=rgba.shape[:2]).apply(
            rgba,
            mask=selection,
            strength=strength,
            space=self.space,
            device=self.device,
            on_progress=lambda done, total: on_progress("apply", done, total),
        )
        return as_before(changed, layer)


class Harmonizer:
    """A network, ready to harmonize.

    >>> harmonizer = Harmonizer.load()
    >>> harmonized = harmonizer(composite, mask)
    """

    def __init__(self, net: GKNet, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.net = _for_use(net).to(self.device)
        if self.device.type == "cuda":
            self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, model: str = "gknet-s", device: str = "auto") -> Self:
        """The shipped weights of a preset, on "cpu", "cuda", "mps", or the best there is ("auto").

        Raises WeightsError when there are none, BadRequest for a device that this machine does not have.
        """
        return cls(weights.load(weights.shipped(model)), choose_device(device))

    def __call__(
        self,
        composite: AnyPicture,
        mask: np.ndarray | Image.Image,
        *,
        strength: float = 1.0,
        network_size: int = 256,
        space: Space = "srgb",
        profile: bytes | None = None,
        on_progress: Progress = _silent,
    ) -> AnyPicture:
        """The composite with its foreground harmonized; a new picture of the same type, size and depth.

        composite: (H, W) or (H, W, C) uint8, uint16, float16 or float32, C = 1 gray, 2 gray + alpha, 3 RGB,
        4 RGB + alpha; or a PIL image. Integers span 0..max, floats are encoded in [0, 1] and may exceed it.
        mask: (H, W) bool, uint8, uint16 or float in [0, 1], or a PIL image of mode "1" or "L"; full = foreground.
        strength: 0 (nothing) .. 1.   network_size: long side of what the network sees, pixels.
        space: "linear" for pixels in linear light with sRGB's primaries; they have no profile then.
        profile: ICC profile of the pixels, None for sRGB; a PIL image brings its own.
        Where the mask is 0 the result equals the composite bit for bit; alpha never changes.
        Raises BadRequest for pictures that do not fit, NoForeground and NoBackground for an empty or full mask.
        """
        if isinstance(composite, Image.Image):
            pixels = from_pillow(composite)
            profile = profile or (_profile(composite) if space == "srgb" else None)
        else:
            pixels = composite
        rgb = as_rgb(pixels)
        flat = checked_mask(mask, pixels.shape[:2])
        box = reduction.bounding_box(flat)
        _check(strength, network_size, space, rgb)
        on_progress("reduce", 0, 1)
        sight = self.sight(rgb, flat, box, network_size)
        transfer = self._fit(sight, box, space, profile, on_progress)
        inside = (slice(box.top, box.bottom), slice(box.left, box.right))
        transfer = transfer.rolled_off(rgb[inside], flat[inside], space)
        changed = transfer.apply(
            rgb[inside],
            mask=flat[inside],
            strength=strength,
            space=space,
            device=self.device,
            on_progress=lambda done, total: on_progress("apply", done, total),
        )
        result = pixels.copy()
        result[inside] = as_before(changed, pixels[inside])
        if isinstance(composite, Image.Image):
            return to_pillow(result, composite)
        return result

    def layer(
        self,
        foreground: np.ndarray,
        background: np.ndarray,
        at: tuple[int, int] = (0, 0),
        *,
        strength: float = 1.0,
        network_size: int = 256,
        space: Space = "srgb",
        profile: bytes | None = None,
        clean_edges: bool = False,
        on_progress: Progress = _silent,
    ) -> np.ndarray:
        """The foreground layer, harmonized with the background beneath it; same shape, type and alpha.

        foreground: (h, w, 4) RGB with straight alpha, or (h, w, 2) gray; background: (H, W, 3) RGB or (H, W)
        gray; both uint8, uint16, float16 or float32, not necessarily the same.   at: (x, y) of the layer's top
        left corner on the background, pixels, may be negative.   clean_edges: take the colours of the cut-out's old
        background out of its soft edge first (`gknet.edges`); needs PyMatting.   Other arguments, and errors, as
        `__call__`; NoForeground also where the layer lies wholly beside the background, Unsupported without PyMatting.
        """
        if foreground.ndim != 3 or foreground.shape[2] not in (2, 4):
            raise BadRequest("The foreground has no alpha.", "Give a cut-out layer: (h, w, 4) with straight alpha.")
        _check(strength, network_size, space, foreground)
        if clean_edges:
            foreground = edges.cleaned(foreground, on_progress)
        canvas = (background.shape[1], background.shape[0])
        fit = self.fit_layer(
            foreground,
            background,
            at=at,
            canvas=canvas,
            network_size=network_size,
            space=space,
            profile=profile,
            reference_space=space,
            reference_profile=profile,
            on_progress=on_progress,
        )
        return fit.apply(foreground, strength=strength, on_progress=on_progress)

    def fit_layer(
        self,
        layer: np.ndarray,
        reference: np.ndarray,
        *,
        at: tuple[int, int],
        canvas: tuple[int, int],
        selection: np.ndarray | None = None,
        opacity: float = 1.0,
        network_size: int = 256,
        space: Space = "srgb",
        profile: bytes | None = None,
        reference_space: Space = "srgb",
        reference_profile: bytes | None = None,
        on_progress: Progress = _silent,
    ) -> LayerFit:
        """What the network would do to a layer, ready to be applied to it at any strength.

        layer: (h, w, C), C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGB + alpha, straight alpha.   reference: (H, W)
        or (H, W, C) likewise, what lies below, all of the canvas, at its own size or reduced; where it is transparent,
        its mean colour stands in.   canvas: (width, height) in the layer's pixels.   at: (x, y) of the layer on the
        canvas.   selection: (h, w) uint8, 255 where the layer is the foreground; what is not selected is part of the
        scene.   opacity: of the layer, in (0, 1].
        space, profile, reference_space, reference_profile: as `__call__`, each picture's own.
        Raises BadRequest, NoForeground (also for an opaque layer without selection) and NoBackground.
        """
        at = (operator.index(at[0]), operator.index(at[1]))
        rgba, below = as_rgb(layer), without_gaps(as_rgb(reference))
        _check(1.0, network_size, space, rgba)
        _check(1.0, network_size, reference_space, below)
        if not 0 < opacity <= 1:
            raise BadRequest(f"The opacity is {opacity}.", "Choose one above 0, at most 1.")
        if (reference_space, reference_profile) != (space, profile):
            below = _in_space(_out_of_space(below, reference_space, reference_profile), space, profile)
        everything = Box(0, 0, *canvas)
        box = Box(at[0], at[1], rgba.shape[1], rgba.shape[0])
        visible = reduction.bounding_box(_coverage(rgba, selection)).shifted(*at).within(everything)
        if visible is None:
            raise NoForeground("The foreground lies beside the background.", "Move it over the picture.")
        window = _window(visible, everything, network_size)
        on_progress("reduce", 0, 1)
        size = self._sight_size(window, network_size)
        # What is not selected shows, too.
        shown = visible if selection is None else box
        sight = reduction.reduce_layer(
            rgba, below, box, shown, everything, window, size, selection=selection, opacity=opacity
        )
        if sight.mask.min() > 0.995 * opacity:
            raise NoBackground("The foreground covers the whole background.", "Erase around the object, or select it.")
        transfer = self._fit(sight, box, space, profile, on_progress).rolled_off(rgba, selection, space)
        return LayerFit(transfer, space, self.device)

    def _fit(
        self, sight: Sight, box: Box, space: Space, profile: bytes | None, on_progress: Progress
    ) -> ColourTransfer:
        """The network's answer as a map from any colour at any place of the box to its harmonized colour."""
        composite, foreground = sight.composite, sight.foreground
        if space == "linear" and profile is not None:
            raise BadRequest("Linear light and a colour profile were both named.", "Name one of them.")
        if profile is not None and not (fits(profile, gray=True) or fits(profile, gray=False)):
            raise BadRequest("The colour profile is not one of RGB or gray.", "Convert the picture to sRGB first.")
        if not np.isfinite(composite).all():
            raise BadRequest("The picture holds values that are not numbers.", "Remove NaN and infinity first.")
        if space == "linear":
            composite, foreground = _encode(composite), _encode(foreground)
        composite, foreground = composite.clip(0, 1), foreground.clip(0, 1)
        seen = to_srgb(composite, profile)
        on_progress("network", 0, 1)
        answer = self._see(seen, sight.mask)
        on_progress("network", 1, 1)
        if profile is not None:
            # Both through the profile and back, so that an unchanged colour stays exactly unchanged.
            composite, answer = from_srgb(seen, profile), from_srgb(answer.clip(0, 1), profile)
        else:
            composite = seen
        return ColourTransfer.fit(
            composite=composite,
            harmonized=answer,
            mask=sight.mask,
            foreground=foreground,
            layer_box=sight.place(box),
            layer_size=(box.height, box.width),
        )

    def sight(self, rgb: np.ndarray, mask: np.ndarray, box: Box, network_size: int) -> Sight:
        """What the network is shown of a composite (H, W, 3 or 4), and which part of it that is.

        mask: (H, W), as `gknet.pixels.checked_mask` gives it.   box: outside of it the mask is 0.
        """
        window = _window(box, Box(0, 0, rgb.shape[1], rgb.shape[0]), network_size)
        return reduction.reduce_masked(rgb, mask, box, window, self._sight_size(window, network_size))

    def _see(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The network's picture (h, w, 3) float32 for a composite and mask at network size."""
        with torch.inference_mode():
            picture = torch.from_numpy(composite).to(self.device).permute(2, 0, 1)[None]  # (1, 3, h, w)
            harmonized: Tensor = self.net(picture, torch.from_numpy(mask).to(self.device)[None, None])
            return harmonized[0].permute(1, 2, 0).float().cpu().numpy()

    def _sight_size(self, window: Box, network_size: int) -> tuple[int, int]:
        """(height, width) the network sees a window at: multiples of what it needs, never much enlarged."""
        multiple = self.net.config.multiple
        scale = min(1.0, network_size / max(window.height, window.width))

        def fit(side: int) -> int:
            return max(multiple, round(side * scale / multiple) * multiple)

        return fit(window.height), fit(window.width)


def _for_use(net: GKNet) -> GKNet:
    """A copy of the network that does the same with less work, and cannot be trained."""
    net = copy.deepcopy(net).eval()
    for block in net.modules():
        if isinstance(block, ConvBlock):
            block.fold()
    return net


def _check(strength: float, network_size: int, space: Space, pixels: np.ndarray) -> None:
    if not 0 <= strength <= 1:
        raise BadRequest(f"The strength is {strength}.", "Choose one between 0 and 1.")
    if not 64 <= network_size <= 1024:
        raise BadRequest(f"The network size is {network_size}.", "Choose one between 64 and 1024.")
    if space not in ("srgb", "linear"):
        raise BadRequest(f"The space {space!r} is unknown.", "Choose 'srgb' or 'linear'.")
    if pixels.dtype not in _DEPTHS:
        raise BadRequest(
            f"Pixels of type {pixels.dtype} cannot be worked on.",
            "Use uint8, uint16, float16 or float32.",
        )


def _window(box: Box, canvas: Box, network_size: int) -> Box:
    """What of the canvas the network looks at: all of it, or the surroundings of a tiny object."""
    side = max(box.width, box.height)
    if side * network_size >= SMALLEST_OBJECT * max(canvas.width, canvas.height):
        return canvas
    # Never less than the network can see pixel by pixel: context costs nothing there.
    reach = max(network_size, math.ceil(side * network_size / OBJECT_IN_WINDOW))
    width, height = min(reach, canvas.width), min(reach, canvas.height)
    left = box.left + box.width // 2 - width // 2
    top = box.top + box.height // 2 - height // 2
    left = min(max(left, 0), canvas.width - width)
    top = min(max(top, 0), canvas.height - height)
    return Box(left, top, width, height)


def _profile(image: Image.Image) -> bytes | None:
    """The image's own profile, if it speaks of the colours the image has."""
    embedded: bytes | None = image.info.get("icc_profile")
    return embedded if fits(embedded, gray=image.mode in ("L", "LA", "I;16", "F")) else None


def _coverage(rgba: np.ndarray, selection: np.ndarray | None) -> np.ndarray:
    """(h, w), above 0 where the layer holds foreground. Raises NoForeground for an opaque layer."""
    if selection is None:
        if rgba.shape[2] == 3:
            raise NoForeground("The layer is opaque.", "Erase the background around the object, or select the object.")
        return rgba[..., 3]
    if selection.dtype != np.uint8 or selection.shape != rgba.shape[:2]:
        raise BadRequest("The selection is not one byte for each of the layer's pixels.", "Give (height, width) uint8.")
    if not selection.any():
        raise NoForeground("Nothing of the layer is selected.", "Select the object, or nothing at all.")
    return selection if rgba.shape[2] == 3 else (selection > 0) & (rgba[..., 3] > 0)


def _out_of_space(pixels: np.ndarray, space: Space, profile: bytes | None) -> np.ndarray:
    """(H, W, 3) float32 encoded sRGB of a picture in its own depth, space and profile."""
    unit = pixels.astype(np.float32)
    if pixels.dtype.kind == "u":
        unit /= np.iinfo(pixels.dtype).max
    return _encode(unit) if space == "linear" else to_srgb(unit, profile)


def _in_space(unit: np.ndarray, space: Space, profile: bytes | None) -> np.ndarray:
    """Encoded sRGB (H, W, 3) float32 in another space or profile."""
    if space == "linear":
        return srgb_to_linear(torch.from_numpy(unit)).numpy()
    return from_srgb(unit, profile)


def _encode(linear: np.ndarray) -> np.ndarray:
    """sRGB-encoded values of linear light."""
    return linear_to_srgb(torch.from_numpy(linear)).numpy()
