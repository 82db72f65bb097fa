"""Pictures of any size and depth: the network at its own size, its answer on every full-resolution pixel."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Literal, Self, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gknet import reduction, weights
from gknet.color import LUMA, linear_to_srgb
from gknet.device import choose_device
from gknet.errors import BadRequest, NoBackground, NoForeground
from gknet.model import GKNet
from gknet.pillow import from_pillow, to_pillow
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


class Harmonizer:
    """A network, ready to harmonize.

    >>> harmonizer = Harmonizer.load()
    >>> harmonized = harmonizer(composite, mask)
    """

    def __init__(self, net: GKNet, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.net = net.eval().to(self.device)

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
        rgb = _as_rgb(pixels)
        flat = _checked_mask(mask, pixels.shape[:2])
        box = reduction.bounding_box(flat)
        canvas = Box(0, 0, rgb.shape[1], rgb.shape[0])
        _check(strength, network_size, space, rgb)
        window = _window(box, canvas, network_size)
        on_progress("reduce", 0, 1)
        sight = reduction.reduce_masked(rgb, flat, window, self._sight_size(window, network_size))
        transfer = self._fit(sight, box, space, profile, on_progress)
        inside = (slice(box.top, box.bottom), slice(box.left, box.right))
        changed = transfer.apply(
            rgb[inside],
            mask=flat[inside],
            strength=strength,
            space=space,
            on_progress=lambda done, total: on_progress("apply", done, total),
        )
        result = pixels.copy()
        result[inside] = _as_before(changed, pixels[inside])
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
        on_progress: Progress = _silent,
    ) -> np.ndarray:
        """The foreground layer, harmonized with the background beneath it; same shape, type and alpha.

        foreground: (h, w, 4) RGB with straight alpha, or (h, w, 2) gray; background: (H, W, 3) RGB or (H, W)
        gray; both uint8, uint16, float16 or float32, not necessarily the same.   at: (x, y) of the layer's top
        left corner on the background, pixels, may be negative.   Other arguments, and errors, as `__call__`;
        NoForeground also where the layer lies wholly beside the background.
        """
        if foreground.ndim != 3 or foreground.shape[2] not in (2, 4):
            raise BadRequest("The foreground has no alpha.", "Give a cut-out layer: (h, w, 4) with straight alpha.")
        at = (operator.index(at[0]), operator.index(at[1]))
        rgba, below = _as_rgb(foreground), _as_rgb(background)[..., :3]
        _check(strength, network_size, space, rgba)
        _check(strength, network_size, space, below)
        canvas = Box(0, 0, below.shape[1], below.shape[0])
        box = Box(at[0], at[1], rgba.shape[1], rgba.shape[0])
        visible = reduction.bounding_box(rgba[..., 3]).shifted(*at).within(canvas)
        if visible is None:
            raise NoForeground("The foreground lies beside the background.", "Move it over the picture.")
        window = _window(visible, canvas, network_size)
        on_progress("reduce", 0, 1)
        sight = reduction.reduce_layer(rgba, below, box, window, self._sight_size(window, network_size))
        if sight.mask.min() > 0.995:
            raise NoBackground("The foreground covers the whole background.", "Erase around the object, or select it.")
        transfer = self._fit(sight, box, space, profile, on_progress)
        changed = transfer.apply(
            rgba,
            strength=strength,
            space=space,
            on_progress=lambda done, total: on_progress("apply", done, total),
        )
        return _as_before(changed, foreground)

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


def _checked_mask(mask: np.ndarray | Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """The mask as (H, W) uint8, uint16 or float32. Raises BadRequest, NoForeground or NoBackground."""
    if isinstance(mask, Image.Image) and mask.mode not in ("1", "L", "I;16", "F"):
        raise BadRequest(f"The mask is an image of mode {mask.mode}.", "Give one of mode L, white = foreground.")
    flat = np.asarray(mask)
    if flat.ndim == 3 and flat.shape[2] == 1:
        flat = flat[:, :, 0]
    if flat.ndim != 2:
        raise BadRequest(f"The mask is an array of shape {flat.shape}.", "Give (height, width).")
    if flat.shape != tuple(shape):
        want, have = "x".join(map(str, shape[1::-1])), "x".join(map(str, flat.shape[1::-1]))
        raise BadRequest(f"The mask is {have} pixels, the picture {want}.", "Give a mask of the picture's size.")
    if flat.dtype == np.bool_:
        flat = flat.astype(np.uint8) * np.uint8(255)
    elif flat.dtype not in (np.uint8, np.uint16):
        flat = flat.astype(np.float32)
        if not (flat.min() >= 0 and flat.max() <= 1):  # also refuses NaN
            raise BadRequest("The mask's values leave 0..1.", "Scale the mask so that 1 is the foreground.")
    if flat.dtype.kind == "u" and flat.max() == 1:
        raise BadRequest(
            f"The mask's largest value is 1 of {np.iinfo(flat.dtype).max}.", "Give a bool mask, or multiply it."
        )
    if not flat.any():
        raise NoForeground("The mask is all black.", "Paint the object white in the mask.")
    full = 1.0 if flat.dtype == np.float32 else np.iinfo(flat.dtype).max
    if flat.min() == full:
        raise NoBackground("The mask is all white.", "Paint everything but the object black in the mask.")
    return flat


def _profile(image: Image.Image) -> bytes | None:
    """The image's own profile, if it speaks of the colours the image has."""
    embedded: bytes | None = image.info.get("icc_profile")
    return embedded if fits(embedded, gray=image.mode in ("L", "LA", "I;16", "F")) else None


def _as_rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) or, with alpha, (H, W, 4) of any picture that can be worked on."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise BadRequest(f"An array of shape {pixels.shape} is no picture.", "Give (height, width, 1 to 4 channels).")
    if pixels.shape[2] >= 3:
        return pixels
    return pixels[:, :, [0, 0, 0, *range(1, pixels.shape[2])]]


def _as_before(changed: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The changed RGB(A) in the channels it came in: gray is the luma, exactly kept where nothing changed."""
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return changed
    gray = pixels if pixels.ndim == 2 else pixels[:, :, 0]
    luma = changed[:, :, :3].astype(np.float32) @ np.array(LUMA, np.float32)
    if not np.issubdtype(pixels.dtype, np.floating):
        luma = np.rint(luma)
    luma = np.where((changed[:, :, :3] == gray[:, :, None]).all(axis=2), gray, luma).astype(pixels.dtype)
    result = pixels.copy()
    if pixels.ndim == 2:
        return luma
    result[:, :, 0] = luma
    return result


def _encode(linear: np.ndarray) -> np.ndarray:
    """sRGB-encoded values of linear light."""
    return linear_to_srgb(torch.from_numpy(linear)).numpy()
