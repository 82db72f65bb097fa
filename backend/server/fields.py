"""A message's map, read field by field: each has its type and its range, or the message is refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgpack

from backend.errors import TooLargeError
from backend.thin import protocol
from gknet.errors import InputError, UnsupportedError

_WIDEST = 64
"""Fields of one map and members of one list; more than any version will have."""
_LONGEST_TEXT = 200
"""Characters of a name: a client's, a model's, a fit's."""
_REQUIRED: Any = object()


def make_bad_request(message: str) -> InputError:
    """Return the error for a message that breaks the protocol."""
    return InputError(message, "The client does not follow the protocol: update it.")


def unpack_fields(header: Any) -> Fields:
    """Read the map in a message's first frame.  Raises InputError, TooLargeError."""
    if len(header) > protocol.MAX_HEADER + protocol.MAX_PROFILE:
        raise TooLargeError(f"The message's map has {len(header)} bytes.", "Send a smaller profile.")
    try:
        values = msgpack.unpackb(
            header,
            raw=False,
            strict_map_key=True,
            max_str_len=protocol.MAX_HEADER,
            max_bin_len=protocol.MAX_PROFILE,
            max_array_len=_WIDEST,
            max_map_len=_WIDEST,
            max_ext_len=0,
        )
    # msgpack raises ValueError and its subclasses, but says itself that others are possible.
    except Exception as error:
        raise make_bad_request(f"The message's first frame is not a msgpack map ({type(error).__name__}).") from error
    if not isinstance(values, dict):
        raise make_bad_request("The message's first frame is not a map.")
    return Fields(values, "")


class Fields:
    """The fields of one map.

    where: its path in the message with a dot at the end, "" for the message itself.
    Every method raises InputError for a field that is missing, of another type or out of range. None (nil) is the
    same as missing.
    """

    def __init__(self, values: dict[Any, Any], where: str) -> None:
        self._values = values
        self._where = where

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def read_integer(self, name: str, low: int, high: int, default: int = _REQUIRED) -> int:
        """A whole number in [low, high]."""
        value = self._get_value(name, default)
        if type(value) is not int or not low <= value <= high:  # a bool is an int, but not here
            raise self._make_error(name, f"a whole number from {low} to {high}")
        return value

    def read_side(self, name: str, high: int) -> int:
        """A width or height in [1, high] pixels; TooLargeError above."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not int or value < 1:
            raise self._make_error(name, "a positive whole number")
        if value > high:
            raise TooLargeError(f"{self._where}{name} is above {high} pixels.", "Work on a smaller picture.")
        return value

    def read_number(self, name: str, low: float, high: float, default: float = _REQUIRED) -> float:
        """A number in [low, high]; never NaN."""
        value = self._get_value(name, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self._make_error(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def read_boolean(self, name: str, default: bool = _REQUIRED) -> bool:
        """True or false."""
        value = self._get_value(name, default)
        if type(value) is not bool:
            raise self._make_error(name, "true or false")
        return value

    def read_text(self, name: str) -> str:
        """A string of at most 200 characters."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not str or len(value) > _LONGEST_TEXT:
            raise self._make_error(name, f"a text of at most {_LONGEST_TEXT} characters")
        return value

    def read_optional_text(self, name: str) -> str | None:
        """The same, None where it is missing."""
        return self.read_text(name) if name in self else None

    def read_choice(self, name: str, choices: Collection[str]) -> str:
        """One of some strings; UnsupportedError for another."""
        value = self.read_text(name)
        if value not in choices:
            raise UnsupportedError(f"{self._where}{name} cannot be {value!r}.", f"Choose one of: {', '.join(choices)}.")
        return value

    def read_bytes(self, name: str, shortest: int, longest: int) -> bytes:
        """Bytes of a length in [shortest, longest]."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not bytes or not shortest <= len(value) <= longest:
            raise self._make_error(name, f"{shortest} to {longest} bytes")
        return value

    def read_pair(self, name: str) -> tuple[int, int]:
        """A list of two whole numbers, neither negative."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not list or len(value) != 2 or any(type(part) is not int or part < 0 for part in value):
            raise self._make_error(name, "a list of two whole numbers")
        return value[0], value[1]

    def read_map(self, name: str, default: dict[str, Any] = _REQUIRED) -> Fields:
        """A map inside this one."""
        value = self._get_value(name, default)
        if type(value) is not dict:
            raise self._make_error(name, "a map")
        return Fields(value, f"{self._where}{name}.")

    def _get_value(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise make_bad_request(f"{self._where}{name} is missing.")
        return default

    def _make_error(self, name: str, expected: str) -> InputError:
        return make_bad_request(f"{self._where}{name} is not {expected}.")
