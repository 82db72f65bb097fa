"""A message's first frame, a map of names to values, as bytes and back.

In a plug-in, msgpack's own pure-Python module lies beside this file, put there by the installer; elsewhere it is the
installed package's. The compiled one is never asked for: what a host runs is what the tests run.
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
"""Maps and lists within one another; the protocol needs three."""
MAX_ITEMS = 4096
"""Of one map or list."""


def pack(header: Mapping[str, Any], limit: int = MAX_HEADER) -> bytes:
    """The map as bytes, at most `limit` of them.

    header: string keys; values None, bool, int (-2^63 to 2^64 - 1), float, str, bytes, and lists, tuples and maps of
    these, at most MAX_DEPTH deep.
    Raises ThinError: `bad_request` for anything else, `too_large` past the limit.
    """
    try:
        packed = bytes(fallback.Packer(strict_types=True).pack(_convert_value(header, MAX_DEPTH)))
    except (ValueError, TypeError, OverflowError) as error:
        raise ThinError(BAD_REQUEST, f"A message's map can't be packed: {error}.") from error
    if len(packed) > limit:
        raise ThinError(TOO_LARGE, f"A message's map has {len(packed)} bytes; at most {limit} are allowed.")
    return packed


def unpack(packed: bytes | bytearray | memoryview, limit: int = MAX_HEADER) -> dict[str, Any]:
    """The map that the bytes hold; every name in it, at any depth, is a string and occurs once.

    Raises ThinError: `too_large` past `limit` bytes, `bad_request` for anything that `pack` could not have made,
    msgpack's extension types and timestamps among it.
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
            raise ValueError("it holds no map")
        return {name: _convert_value(value, MAX_DEPTH - 1) for name, value in header.items()}
    except Exception as error:  # msgpack lets out more kinds than it lists, and they differ from one version to another
        raise ThinError(BAD_REQUEST, f"A message's map can't be read: {error or type(error).__name__}.") from error


def _convert_value(value: Any, depth: int) -> Any:
    """The value as plain dicts, lists and scalars.  Raises TypeError, ValueError for what can't be sent."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if depth == 0:
        raise ValueError("it is nested too deeply")
    if type(value) in (list, tuple):  # msgpack's extension type is a tuple too, of a kind of its own
        return [_convert_value(item, depth - 1) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("a name in it is not a string")
        return {name: _convert_value(item, depth - 1) for name, item in value.items()}
    raise TypeError(f"it holds a {type(value).__name__}")


def _build_map(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name occurs twice")
    if not all(isinstance(name, str) for name in fields):
        raise ValueError("a name in it is not a string")
    return fields


def _reject_extension(kind: int, _data: bytes) -> NoReturn:
    raise ValueError(f"extension type {kind}")
