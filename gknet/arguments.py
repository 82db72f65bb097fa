"""Checks of what scripts pass: TypeError for a wrong type, InputError for a value that can't be used."""

from __future__ import annotations

import operator
import os

import numpy as np
from PIL import Image

from gknet.color.encoding import Encoding
from gknet.errors import InputError
from gknet.network.config import MAX_VARIANTS
from gknet.transfer.trims import Trims

_DEPTHS = (np.uint8, np.uint16, np.float16, np.float32)


def check_array(name: str, value: object) -> None:
    """Raise TypeError unless an argument is a NumPy array."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {name_type(value)}.")


def check_number(name: str, value: object) -> None:
    if not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number, not {name_type(value)}.")


def check_picture(name: str, value: object) -> None:
    if not isinstance(value, np.ndarray | Image.Image):
        raise TypeError(f"{name} must be a NumPy array or a PIL image, not {name_type(value)}.")


def check_path(name: str, value: object) -> None:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a string or a path, not {name_type(value)}.")


def check_trims(value: object) -> None:
    if not isinstance(value, Trims):
        raise TypeError(f"trims must be Trims, not {name_type(value)}.")


def check_progress(value: object) -> None:
    if not callable(value):
        raise TypeError(f"on_progress must be a function, not {name_type(value)}.")


def check_depth(pixels: np.ndarray) -> None:
    if pixels.dtype not in _DEPTHS:
        raise InputError(
            f"Unsupported pixel type {pixels.dtype}.",
            "Use uint8, uint16, float16 or float32.",
        )


def check_encoding(name: str, value: object) -> None:
    if not isinstance(value, Encoding):
        raise TypeError(f"{name} must be an Encoding, not {name_type(value)}.")


def check_selection(selection: np.ndarray, size: tuple[int, ...]) -> None:
    check_array("selection", selection)
    if selection.dtype != np.uint8 or selection.shape != size:
        raise InputError(
            f"Expected a selection of shape {size} uint8, got {selection.shape} {selection.dtype}.",
            "Pass one byte per pixel of the layer.",
        )


def check_options(strength: float, network_size: int | None) -> None:
    """Raise InputError for a strength or a network size that is out of range, TypeError for one of the wrong type.

    network_size: None for the network's default.
    """
    check_number("strength", strength)
    if not 0 <= strength <= 1:
        raise InputError(f"Invalid strength {strength!r}.", "It must be between 0 and 1.")
    if network_size is None:
        return
    if not isinstance(network_size, int | np.integer):
        raise TypeError(f"network_size must be an integer, not {name_type(network_size)}.")
    if not 64 <= network_size <= 1024:
        raise InputError(f"Invalid network size {network_size!r}.", "It must be between 64 and 1024.")


def check_variant(variant: object) -> None:
    """Raise InputError for a variant out of range, TypeError for one that is not an integer."""
    if isinstance(variant, bool) or not isinstance(variant, int | np.integer):
        raise TypeError(f"variant must be an integer, not {name_type(variant)}.")
    if not 1 <= variant <= MAX_VARIANTS:
        raise InputError(f"Invalid variant {variant}.", f"It must be between 1 and {MAX_VARIANTS}.")


def read_pair(name: str, values: tuple[int, int]) -> tuple[int, int]:
    """Return two integers. Raise InputError for more or fewer, TypeError for anything but integers."""
    try:
        numbers = [operator.index(value) for value in values]
    except TypeError as error:
        raise TypeError(f"{name} must be two integers, not {values!r}.") from error
    if len(numbers) != 2:
        raise InputError(f"Invalid {name} {values!r}.", "It must be two integers, such as (420, 310).")
    return numbers[0], numbers[1]


def name_type(value: object) -> str:
    return type(value).__qualname__
