"""Packing and unpacking a message's first frame, a map of names to values.

In a plug-in, the installer puts msgpack's pure-Python module next to this file; elsewhere the installed package is
used. The compiled module is never used, so that the tests run the same code as a host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

try:
    from .msgpack import fallback  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    from msgpack import fallback

from .protocol import BAD_REQUEST, MAX_HEADER, TOO_LARGE, ThinError

MAX_DEPTH = 8
"""Maximum nesting of maps and lists; the protocol needs three levels."""
MAX_ITEMS = 4096
"""Maximum items of one map or list."""


def pack(header: Mapping[str, Any], limit: int = MAX_HEADER) -> bytes:
    """Return the map as at most `limit` bytes.

    header: string keys; values None, bool, int (-2^63 to 2^64 - 1), float, str, bytes, and lists, tuples and maps of
    these, at most MAX_DEPTH deep.
    Raise ThinError: `bad_request` for anything else, `too_large` above the limit.
    """
    try:
        packed = bytes(fallback.Packer(strict_types=True).pack(_convert_value(header, MAX_DEPTH)))
    except (ValueError, TypeError, OverflowError) as error:
        raise ThinError(BAD_REQUEST, f"A message's map can't be packed: {error}.") from error
    if len(packed) > limit:
        raise ThinError(TOO_LARGE, f"A message's map has {len(packed)} bytes; at most {limit} are allowed.")
    return packed


def unpack(packed: bytes | bytearray | memoryview, limit: int = MAX_HEADER) -> dict[str, Any]:
    """Return the map in the bytes. Every name in it, at any depth, is a unique string.

    Raise ThinError: `too_large` above `limit` bytes, `bad_request` for anything that `pack` can't produce, including
    msgpack's extension types and timestamps.
    """
    if len(packed) > limit:
        raise ThinError(TOO_LARGE, f"A message's map has {len(packed)} bytes; at most {limit} are allowed.")
    try:
        header = fallback.unpackb(
            bytes(packed),
            strict_map_key=True,
            object_pairs_hook=_build_map,
            ext_hook=_reject_extension,
            max_ext_len=0,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
        if not isinstance(header, dict):
            raise ValueError("it is not a map")
        return {name: _convert_value(value, MAX_DEPTH - 1) for name, value in header.items()}
    except Exception as error:  # msgpack raises more types than it documents, which depend on its version
        raise ThinError(BAD_REQUEST, f"A message's map can't be read: {error or type(error).__name__}.") from error


def _convert_value(value: Any, depth: int) -> Any:
    """Return the value as dicts, lists and scalars. Raise TypeError or ValueError if it can't be sent."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if depth == 0:
        raise ValueError("it is nested too deeply")
    if type(value) in (list, tuple):  # but not msgpack's extension type, a subclass of tuple
        return [_convert_value(item, depth - 1) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("a name in it is not a string")
        return {name: _convert_value(item, depth - 1) for name, item in value.items()}
    raise TypeError(f"it contains a {type(value).__name__}")


def _build_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name occurs twice")
    if not all(isinstance(name, str) for name in fields):
        raise ValueError("a name in it is not a string")
    return fields


def _reject_extension(kind: int, _data: bytes) -> NoReturn:
    raise ValueError(f"extension type {kind}")
