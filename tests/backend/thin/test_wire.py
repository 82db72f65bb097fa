"""Maps as bytes and back: equal to what the compiled msgpack makes, and nothing else is let in."""

from __future__ import annotations

import datetime
import types
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.thin import wire
from backend.thin.protocol import BAD_REQUEST, MAX_HEADER, TOO_LARGE, ThinError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
    | st.binary(max_size=300)
)
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
maps = st.dictionaries(
    names,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)),
    max_size=8,
).filter(lambda value: _depth(value) <= wire.MAX_DEPTH)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(ThinError) as caught:
        work()
    return caught.value.code


def outcome(packed: bytes | bytearray) -> object:
    """The map, or the code of the failure."""
    try:
        return wire.unpack(packed)
    except ThinError as error:
        return error.code


@given(maps)
@settings(max_examples=50, deadline=None)
def test_a_map_survives_the_way_there_and_back(header: dict[str, Any]) -> None:
    packed = wire.pack(header)
    assert wire.unpack(packed) == header
    assert wire.unpack(memoryview(packed)) == header


@given(maps)
@settings(max_examples=50, deadline=None)
def test_the_compiled_msgpack_reads_and_writes_the_same(header: dict[str, Any]) -> None:
    assert msgpack.unpackb(wire.pack(header)) == header
    assert wire.unpack(msgpack.packb(header)) == header


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes_are_a_map_or_refused(packed: bytes) -> None:
    header = outcome(packed)
    assert isinstance(header, dict) or header == BAD_REQUEST


@given(maps, st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_map_is_a_map_or_refused(header: dict[str, Any], data: st.DataObject) -> None:
    packed = bytearray(wire.pack(header))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    damaged = outcome(packed)
    assert isinstance(damaged, dict) or damaged == BAD_REQUEST


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x01",
        b"\xc0",
        msgpack.packb([1, 2]),
        msgpack.packb({"a": 1}) + b"\xc0",
        msgpack.packb({"a": 1})[:-1],
        msgpack.packb({1: 2}),
        msgpack.packb({b"a": 2}),
        msgpack.packb({"a": {1: 2}}),
        msgpack.packb({"a": {b"b": 2}}),
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\x90\x01",
        msgpack.packb({"a": msgpack.ExtType(5, b"")}),
        msgpack.packb({"a": msgpack.ExtType(5, b"12345678")}),
        msgpack.packb({"a": msgpack.Timestamp(1, 2)}),
        msgpack.packb({"a": b"\xff"}, use_bin_type=False),
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
        b"\x81\xa1a" + b"\x91" * 20 + b"\xc0",
        b"\x81\xa1a" * 20_000 + b"\xc0",
        msgpack.packb({"a": [0] * (wire.MAX_ITEMS + 1)}),
        msgpack.packb(dict.fromkeys(map(str, range(wire.MAX_ITEMS + 1)))),
    ],
)
def test_what_the_protocol_does_not_have_is_refused(packed: bytes) -> None:
    assert refusal(lambda: wire.unpack(packed)) == BAD_REQUEST


@pytest.mark.parametrize(
    "header",
    [
        {1: 2},
        {b"a": 2},
        {"a": {1: 2}},
        {"a": 2**64},
        {"a": "\ud800"},
        {"a": {1, 2}},
        {"a": object()},
        {"a": msgpack.ExtType(5, b"")},
        {"a": msgpack.Timestamp(1, 2)},
        {"a": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
        {"a": [[[[[[[[[]]]]]]]]]},
    ],
)
def test_what_the_protocol_does_not_have_is_not_sent(header: dict[Any, Any]) -> None:
    assert refusal(lambda: wire.pack(header)) == BAD_REQUEST


def test_a_map_that_holds_itself_is_refused() -> None:
    header: dict[str, Any] = {}
    header["itself"] = header
    assert refusal(lambda: wire.pack(header)) == BAD_REQUEST


def test_size_is_bounded_both_ways() -> None:
    fits = {"a": bytes(MAX_HEADER - 6)}
    assert len(wire.pack(fits)) == MAX_HEADER
    assert wire.unpack(wire.pack(fits)) == fits
    assert refusal(lambda: wire.pack({"a": bytes(MAX_HEADER - 5)})) == TOO_LARGE
    assert refusal(lambda: wire.unpack(bytes(MAX_HEADER + 1))) == TOO_LARGE
    assert wire.unpack(wire.pack({"a": bytes(2**17)}, 2**18), 2**18) == {"a": bytes(2**17)}


def test_tuples_and_other_mappings_are_lists_and_maps() -> None:
    packed = wire.pack({"a": (1, (2,)), "b": types.MappingProxyType({"c": 3})})
    assert wire.unpack(packed) == {"a": [1, [2]], "b": {"c": 3}}
