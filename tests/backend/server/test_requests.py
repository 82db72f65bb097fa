"""What is taken for a request, and what never is."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.server import requests
from backend.server.requests import BadMessageError, Cancel, Harmonize, Hello, Shutdown, Status
from backend.thin import protocol

KIND = {"depth": "u8", "space": "srgb"}
LAYER = {"width": 4, "height": 3, "channels": 4, **KIND, "x": -2, "y": 1}
REFERENCE = {"width": 8, "height": 6, "channels": 3, **KIND, "canvas_width": 800, "canvas_height": 600}
HARMONIZE = {"op": "harmonize", "id": 1, "layer": LAYER, "reference": REFERENCE}
FRAMES = [bytes(4 * 3 * 4), bytes(8 * 6 * 3)]


def read(header: Any, *frames: bytes) -> requests.Request:
    return requests.read_request([memoryview(msgpack.packb(header)), *map(memoryview, frames)])


def refused(header: Any, *frames: bytes) -> str:
    """The code with which a message is refused."""
    with pytest.raises(BadMessageError) as error:
        read(header, *frames)
    assert error.value.error.message
    assert error.value.error.hint
    return error.value.error.code


def changed(part: str, **fields: Any) -> dict[str, Any]:
    """HARMONIZE with some fields of a part of it set, or left out where they are None."""
    merged = {**HARMONIZE.get(part, {}), **fields}  # type: ignore[dict-item]
    return {**HARMONIZE, part: {name: value for name, value in merged.items() if value is not None}}


def test_a_request_is_read_with_its_defaults() -> None:
    request = read(HARMONIZE, *FRAMES)
    assert isinstance(request, Harmonize)
    assert (request.at, request.canvas, request.opacity) == ((-2, 1), (800, 600), 1.0)
    assert (request.strength, request.model, request.network_size, request.fit) == (1.0, None, None, None)
    assert request.selection is None
    assert request.size == len(FRAMES[0]) + len(FRAMES[1])


def test_a_request_with_a_fit_has_no_reference() -> None:
    header = {"op": "harmonize", "id": 1, "layer": LAYER, "options": {"fit": "abc", "strength": 0}}
    request = read(header, FRAMES[0])
    assert isinstance(request, Harmonize)
    assert (request.fit, request.reference, request.strength) == ("abc", None, 0.0)
    assert refused({**header, "reference": REFERENCE}, *FRAMES) == "bad_request"


def test_small_operations_are_read() -> None:
    hello = {"op": "hello", "id": 0, "protocol": [1, 0], "client": {"name": "n", "version": "v"}, "nonce": bytes(16)}
    assert read(hello) == Hello(id=0, client="n v", nonce=bytes(16))
    assert read({"op": "cancel", "id": 2**53 - 1, "request": 5}) == Cancel(id=2**53 - 1, request=5)
    assert read({"op": "status", "id": 3, "unknown": [1, {"a": 2}]}) == Status(id=3)
    assert read({"op": "shutdown", "id": 4}) == Shutdown(id=4)


@pytest.mark.parametrize("wrong", [None, True, -1, 1.0, 2**53, 2**64 - 1, "1", [1]])
def test_an_id_is_a_whole_number(wrong: Any) -> None:
    assert refused({"op": "status", "id": wrong}) == "bad_request"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"width": 0}, "bad_request"),
        ({"width": -4}, "bad_request"),
        ({"width": True}, "bad_request"),
        ({"width": 4.0}, "bad_request"),
        ({"width": None}, "bad_request"),
        ({"width": 5}, "bad_request"),
        ({"width": 300_001}, "too_large"),
        ({"width": 2**64 - 1}, "too_large"),
        ({"width": 200_000, "height": 200_000}, "too_large"),
        ({"width": 12_000, "height": 12_000, "depth": "f32"}, "too_large"),
        ({"channels": 5}, "bad_request"),
        ({"channels": 0}, "bad_request"),
        ({"channels": 3}, "bad_request"),
        ({"depth": "u32"}, "unsupported"),
        ({"depth": 8}, "bad_request"),
        ({"depth": "u16"}, "bad_request"),
        ({"space": "lab"}, "unsupported"),
        ({"x": None}, "bad_request"),
        ({"x": 10**6}, "bad_request"),
        ({"x": 1.5}, "bad_request"),
        ({"opacity": 1.01}, "bad_request"),
        ({"opacity": float("nan")}, "bad_request"),
        ({"opacity": float("inf")}, "bad_request"),
        ({"opacity": True}, "bad_request"),
        ({"profile": b""}, "bad_request"),
        ({"profile": "sRGB"}, "bad_request"),
    ],
)
def test_wrong_layers_are_refused(fields: dict[str, Any], code: str) -> None:
    assert refused(changed("layer", **fields), *FRAMES) == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"width": 1025}, "too_large"),
        ({"channels": 4}, "bad_request"),
        ({"channels": 1}, "bad_request"),
        ({"canvas_width": None}, "bad_request"),
        ({"canvas_width": 0}, "bad_request"),
        ({"canvas_width": 400_000}, "too_large"),
        ({"canvas_width": 300}, "bad_request"),
        ({"canvas_width": 4, "canvas_height": 3}, "bad_request"),
    ],
)
def test_wrong_references_are_refused(fields: dict[str, Any], code: str) -> None:
    assert refused(changed("reference", **fields), *FRAMES) == code


def test_a_canvas_that_is_very_long_is_taken() -> None:
    fields = {"width": 1024, "height": 1, "canvas_width": 300_000, "canvas_height": 1}
    assert isinstance(read(changed("reference", **fields), FRAMES[0], bytes(1024 * 3)), Harmonize)


@pytest.mark.parametrize(
    "fields",
    [
        {"strength": -0.1},
        {"strength": "1"},
        {"network_size": 63},
        {"network_size": 1025},
        {"model": 1},
        {"clean_edges": 1},
    ],
)
def test_wrong_options_are_refused(fields: dict[str, Any]) -> None:
    assert refused(changed("options", **fields), *FRAMES) == "bad_request"
    assert refused({**HARMONIZE, "options": []}, *FRAMES) == "bad_request"


def test_frames_must_be_those_that_were_announced() -> None:
    assert refused(HARMONIZE) == "bad_request"
    assert refused(HARMONIZE, FRAMES[0]) == "bad_request"
    assert refused(HARMONIZE, *FRAMES, b"") == "bad_request"
    assert refused(HARMONIZE, FRAMES[0] + b"0", FRAMES[1]) == "bad_request"
    assert refused({"op": "status", "id": 1}, b"") == "bad_request"
    selected = {**HARMONIZE, "selection": {"width": 4, "height": 3}}
    assert isinstance(read(selected, *FRAMES, bytes(12)), Harmonize)
    assert refused(selected, *FRAMES, bytes(13)) == "bad_request"
    assert refused({**HARMONIZE, "selection": {"width": 3, "height": 4}}, *FRAMES, bytes(12)) == "bad_request"


def test_only_profiles_make_a_map_long() -> None:
    assert isinstance(read(changed("layer", profile=bytes(2**21)), *FRAMES), Harmonize)
    assert refused(changed("layer", profile=bytes(2**22 + 1)), *FRAMES) in ("bad_request", "too_large")
    assert refused({"op": "status", "id": 1, "padding": "x" * 2**16}) == "too_large"
    assert refused({"op": "status", "id": 1, "padding": bytes(2**23)}) == "too_large"


def test_maps_that_are_none_are_refused() -> None:
    for header in (
        b"",
        b"\xc1",
        b"\x80\x80",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ):
        with pytest.raises(BadMessageError) as error:
            requests.read_request([header])
        assert (error.value.id, error.value.error.code) == (None, "bad_request")
    assert refused([1]) == "bad_request"
    assert refused({1: 2}) == "bad_request"
    assert refused({"op": "status", "id": 1, "more": msgpack.ExtType(5, b"12")}) == "bad_request"
    with pytest.raises(BadMessageError):
        requests.read_request([b"\x82\xa2id\x01\xa2op" + b"\x91" * 30_000 + b"\x01"])
    with pytest.raises(BadMessageError):
        requests.read_request([])


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_any_bytes_are_refused_politely(frames: list[bytes]) -> None:
    try:
        requests.read_request(frames)
    except BadMessageError as error:
        assert error.error.code in (protocol.BAD_REQUEST, protocol.TOO_LARGE, protocol.UNSUPPORTED)  # noqa: PT017


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.data())
def test_any_value_in_any_field_is_taken_or_refused(data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["layer", "reference", "options", "selection"]))
    names = st.sampled_from(
        [*LAYER, *REFERENCE, "opacity", "profile", "strength", "model", "network_size", "clean_edges", "fit"],
    )
    header = {**HARMONIZE, part: {**HARMONIZE.get(part, {}), **data.draw(st.dictionaries(names, ANYTHING, max_size=3))}}  # type: ignore[dict-item]
    header.update(data.draw(st.dictionaries(st.sampled_from(["op", "id", "layer", "options"]), ANYTHING, max_size=1)))
    try:
        request = read(header, *FRAMES)
    except BadMessageError as error:
        assert error.error.message  # noqa: PT017
        return
    if isinstance(request, Harmonize):
        pixels = request.layer
        assert len(pixels.data) == pixels.width * pixels.height * pixels.channels * protocol.DEPTHS[pixels.depth]
        assert 0 <= request.strength <= 1
        assert request.network_size is None or 64 <= request.network_size <= 1024
