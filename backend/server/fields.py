"""Reading a message's map field by field, with a check of each field's type and range."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgpack

from backend.errors import TooLargeError
from backend.thin import protocol
from gknet.errors import InputError, UnsupportedError

_WIDEST = 64
"""Maximum fields of one map and members of one list; more than any version needs."""
_LONGEST_TEXT = 200
"""Maximum characters in the name of a client, model or fit."""
_REQUIRED: Any = object()


def make_bad_request(message: str) -> InputError:
    """Return the error for a message that violates the protocol."""
    return InputError(message, "Update the client: it does not follow the protocol.")


def unpack_fields(header: Any) -> Fields:
    """Return the map in a message's first frame. Raise InputError if it isn't valid, TooLargeError if too long."""
    if len(header) > protocol.MAX_HEADER + protocol.MAX_PROFILE:
        raise TooLargeError(f"The message's map is too long: {len(header)} bytes.", "Send a smaller profile.")
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
    # msgpack documents ValueError and its subclasses, but also that others are possible.
    except Exception as error:
        raise make_bad_request(f"The message's first frame is not a msgpack map ({type(error).__name__}).") from error
    if not isinstance(values, dict):
        raise make_bad_request("The message's first frame is not a map.")
    return Fields(values, "")


class Fields:
    """The fields of one map.

    where: path of the map in the message with a dot at the end, "" for the message itself.
    Every method raises InputError for a field that is missing, has the wrong type or is out of range. A field that
    is None (nil) counts as missing.
    """

    def __init__(self, values: dict[Any, Any], where: str) -> None:
        self._values = values
        self._where = where

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def read_integer(self, name: str, low: int, high: int, default: int = _REQUIRED) -> int:
        """Return a whole number in [low, high]."""
        value = self._get_value(name, default)
        if type(value) is not int or not low <= value <= high:  # a bool is an int, but not here
            raise self._make_error(name, f"a whole number from {low} to {high}")
        return value

    def read_side(self, name: str, high: int) -> int:
        """Return a width or height in [1, high] pixels. Raise TooLargeError above that."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not int or value < 1:
            raise self._make_error(name, "a positive whole number")
        if value > high:
            raise TooLargeError(
                f"{self._where}{name} must be at most {high} pixels, not {value}.", "Use a smaller image."
            )
        return value

    def read_number(self, name: str, low: float, high: float, default: float = _REQUIRED) -> float:
        """Return a number in [low, high]; never NaN."""
        value = self._get_value(name, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self._make_error(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def read_boolean(self, name: str, default: bool = _REQUIRED) -> bool:
        """Return a boolean."""
        value = self._get_value(name, default)
        if type(value) is not bool:
            raise self._make_error(name, "true or false")
        return value

    def read_text(self, name: str) -> str:
        """Return a string of at most 200 characters."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not str or len(value) > _LONGEST_TEXT:
            raise self._make_error(name, f"a text of at most {_LONGEST_TEXT} characters")
        return value

    def read_optional_text(self, name: str) -> str | None:
        """Return a string as `read_text` does, or None if the field is missing."""
        return self.read_text(name) if name in self else None

    def read_choice(self, name: str, choices: Collection[str]) -> str:
        """Return one of the given strings. Raise UnsupportedError for any other."""
        value = self.read_text(name)
        if value not in choices:
            raise UnsupportedError(f"{self._where}{name} cannot be {value!r}.", f"Choose one of: {', '.join(choices)}.")
        return value

    def read_bytes(self, name: str, shortest: int, longest: int) -> bytes:
        """Return bytes with a length in [shortest, longest]."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not bytes or not shortest <= len(value) <= longest:
            raise self._make_error(name, f"{shortest} to {longest} bytes")
        return value

    def read_pair(self, name: str) -> tuple[int, int]:
        """Return two non-negative whole numbers from a list."""
        value = self._get_value(name, _REQUIRED)
        if type(value) is not list or len(value) != 2 or any(type(part) is not int or part < 0 for part in value):
            raise self._make_error(name, "a list of two whole numbers")
        return value[0], value[1]

    def read_map(self, name: str, default: dict[str, Any] = _REQUIRED) -> Fields:
        """Return a map inside this one."""
        value = self._get_value(name, default)
        if type(value) is not dict:
            raise self._make_error(name, "a map")
        return Fields(value, f"{self._where}{name}.")

    def _get_value(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise make_bad_request(f"The field {self._where}{name} is missing.")
        return default

    def _make_error(self, name: str, expected: str) -> InputError:
        return make_bad_request(f"{self._where}{name} is not {expected}.")
