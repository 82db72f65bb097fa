"""Checks of what a script passes to `backend.Client`, before anything is sent."""

from __future__ import annotations

from reprlib import repr as shorten
from typing import Any

import numpy as np

from backend.errors import TooLargeError
from backend.thin import protocol
from gknet.color.encoding import Encoding
from gknet.errors import InputError, UnsupportedError
from gknet.transfer.trims import Trims

_LONGEST_TEXT = 200


def check_pixels(name: str, pixels: np.ndarray) -> None:
    """Raise InputError unless the value is an array of a supported shape, UnsupportedError for its dtype."""
    _check_array(name, pixels)
    if get_depth(pixels) not in protocol.DEPTHS:
        raise UnsupportedError(
            f"Pixels of type {pixels.dtype} are not supported.", "Use uint8, uint16, float16 or float32."
        )
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[2] > 4):
        raise InputError(
            f"The {name} must have shape (H, W) or (H, W, C) with 1 to 4 channels, not {pixels.shape}.",
            "Check the order of its axes.",
        )


def check_size(layer: np.ndarray) -> None:
    """Raise TooLargeError for a layer that the backend would reject, before it is copied."""
    height, width = layer.shape[:2]
    if height * width > protocol.MAX_PIXELS or layer.nbytes > protocol.MAX_FRAME:
        raise TooLargeError(
            f"A layer of {width} x {height} pixels in {layer.nbytes} bytes is too large for the backend.",
            "Split it or scale it down.",
        )


def check_selection(selection: np.ndarray, layer: np.ndarray) -> None:
    """Raise InputError unless the selection is uint8 and has the layer's height and width."""
    _check_array("selection", selection)
    if selection.dtype != np.uint8 or selection.shape != layer.shape[:2]:
        have = f"{selection.dtype} {selection.shape}"
        raise InputError(f"The selection must be uint8 {layer.shape[:2]} like the layer, not {have}.", "Convert it.")


def check_encoding(name: str, value: object) -> None:
    """Raise InputError unless the value is an Encoding."""
    if not isinstance(value, Encoding):
        raise InputError(f"{name} is {shorten(value)}.", "Pass an Encoding, such as gknet.Encoding('linear').")


def convert_number(name: str, value: object, low: float, high: float) -> float:
    """Return a number in [low, high] as a Python number, which can be sent. Raise InputError for anything else."""
    number = _convert_scalar(value)
    if type(number) not in (int, float) or not low <= number <= high:
        raise InputError(f"{name} is {shorten(value)}.", f"Choose a number from {low:g} to {high:g}.")
    return float(number)


def convert_integer(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number in [low, high] as a Python int. Raise InputError for anything else."""
    number = _convert_scalar(value)
    if type(number) is not int or not low <= number <= high:
        raise InputError(f"{name} is {shorten(value)}.", f"Choose a whole number from {low} to {high}.")
    return number


def convert_pair(name: str, value: Any, low: int, high: int) -> tuple[int, int]:
    """Return two whole numbers in [low, high] as Python ints. Raise InputError for anything else."""
    try:
        first, second = value
        return convert_integer(name, first, low, high), convert_integer(name, second, low, high)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is {shorten(value)}.", f"Pass two whole numbers from {low} to {high}, such as (420, 310)."
        ) from error


def convert_trims(value: object) -> dict[str, float]:
    """Return trims as the protocol's options, without those that change nothing. Raise InputError for anything else."""
    if not isinstance(value, Trims):
        raise InputError(f"trims is {shorten(value)}.", "Pass gknet.Trims, such as Trims(warmth=20).")
    return {name: float(getattr(value, name)) for name in protocol.TRIMS if getattr(value, name)}


def convert_boolean(name: str, value: object) -> bool:
    """Return a boolean as a Python bool. Raise InputError for anything else."""
    answer = _convert_scalar(value)
    if type(answer) is not bool:
        raise InputError(f"{name} is {shorten(value)}.", "Choose True or False.")
    return answer


def check_text(name: str, value: object) -> None:
    """Raise InputError unless the value is a string that can be sent."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not _is_encodable(value):
        raise InputError(f"{name} is {shorten(value)}.", f"Pass a string of at most {_LONGEST_TEXT} characters.")


def get_depth(pixels: np.ndarray) -> str:
    """Return the protocol's name for a dtype, such as u16."""
    return f"{pixels.dtype.kind}{8 * pixels.dtype.itemsize}"


def _check_array(name: str, value: object) -> None:
    if not isinstance(value, np.ndarray):
        raise InputError(f"Expected a NumPy array, got {type(value).__name__}.", f"Pass the {name} as an array.")


def _convert_scalar(value: object) -> Any:
    """Return a NumPy scalar as a Python one, and any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _is_encodable(text: str) -> bool:
    """Return whether the text has no lone surrogates."""
    return text == text.encode("utf-8", "replace").decode("utf-8")
