"""Building a `harmonize` request, with all sizes checked before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .protocol import BAD_REQUEST, DEPTHS, MAX_FRAME, MAX_PIXELS, MAX_REFERENCE_SIDE, MAX_SIDE, TOO_LARGE, ThinError


def build_request(
    layer: Mapping[str, Any],
    layer_bytes: bytes | bytearray | memoryview,
    reference: Mapping[str, Any] | None,
    reference_bytes: bytes | bytearray | memoryview | None,
    selection: bytes | bytearray | memoryview | None,
    options: Mapping[str, Any] | None,
    limits: object,
) -> tuple[dict[str, Any], list[memoryview]]:
    """Return the request's map without its `id`, and the frames that follow it.

    The maps are the protocol's; sizes are in pixels.   selection: one byte per pixel of the layer.
    limits: the `limits` in the backend's `hello`, of which `pixels` and `frame_bytes` are used.
    Raise ThinError: `bad_request` for sizes that are out of range or don't match the bytes, and if both reference and
    `fit` are missing; `too_large` above the limits.
    """
    header: dict[str, Any] = {"op": "harmonize", "layer": dict(layer)}
    width, height, size = _measure_picture("layer", layer)
    _check_limit("layer", "pixels", width * height, _read_limit(limits, "pixels", MAX_PIXELS))
    _check_limit("layer", "bytes", size, _read_limit(limits, "frame_bytes", MAX_FRAME))
    frames = [_check_frame("layer", layer_bytes, size)]
    if options is not None:
        header["options"] = dict(options)
    if reference is not None and reference_bytes is not None:
        across, down, size = _measure_picture("reference", reference)
        if max(across, down) > MAX_REFERENCE_SIDE:
            raise _make_bad_request(
                f"The reference must be at most {MAX_REFERENCE_SIDE} pixels wide and high, not {across} × {down}."
            )
        header["reference"] = dict(reference)
        frames.append(_check_frame("reference", reference_bytes, size))
    elif reference is not None or reference_bytes is not None or (options or {}).get("fit") is None:
        raise _make_bad_request("Expected a reference with map and pixels, or the `fit` of an earlier answer.")
    if selection is not None:
        header["selection"] = {"width": width, "height": height}
        frames.append(_check_frame("selection", selection, width * height))
    return header, frames


def _measure_picture(name: str, picture: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the width, height and number of bytes that an image's map describes."""
    width, height = _read_number(name, picture, "width", MAX_SIDE), _read_number(name, picture, "height", MAX_SIDE)
    depth = picture.get("depth")
    if not isinstance(depth, str) or depth not in DEPTHS:
        raise _make_bad_request(f"The {name}'s depth must be one of {', '.join(DEPTHS)}, not {depth!r}.")
    return width, height, width * height * _read_number(name, picture, "channels", 4) * DEPTHS[depth]


def _read_number(name: str, picture: Mapping[str, Any], field: str, most: int) -> int:
    value = picture.get(field)
    if type(value) is not int or not 1 <= value <= most:
        raise _make_bad_request(f"The {name}'s {field} must be a whole number from 1 to {most}, not {value!r}.")
    return value


def _check_frame(name: str, pixels: bytes | bytearray | memoryview, size: int) -> memoryview:
    try:
        frame = memoryview(pixels).cast("B")
    except TypeError as error:
        raise _make_bad_request(f"The {name}'s pixels must be contiguous bytes.") from error
    if len(frame) != size:
        raise _make_bad_request(f"The {name} has {len(frame)} bytes instead of {size}.")
    return frame


def _read_limit(limits: object, name: str, usual: int) -> int:
    limit = limits.get(name) if isinstance(limits, dict) else None
    return limit if type(limit) is int else usual


def _check_limit(name: str, unit: str, count: int, most: int) -> None:
    if count > most:
        raise ThinError(
            TOO_LARGE, f"The {name} has {count} {unit}; at most {most} are allowed.", "Scale it down or split it."
        )


def _make_bad_request(message: str) -> ThinError:
    return ThinError(BAD_REQUEST, message)
