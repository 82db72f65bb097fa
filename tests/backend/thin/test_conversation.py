"""What is said to a backend, and in which order: the test is the backend, behind libzmq's ROUTER."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.thin import conversation
from backend.thin.client import ThinClient
from backend.thin.protocol import (
    BACKEND_LOST,
    BACKEND_UNAVAILABLE,
    BAD_REQUEST,
    BUSY,
    CANCELLED,
    INTERNAL,
    MAX_HEADER,
    PROTOCOL,
    TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED,
    ThinError,
)

pytestmark = pytest.mark.integration

LONG_S = 30.0
LAYER = {"width": 3, "height": 2, "channels": 4, "depth": "u8", "space": "srgb", "x": 0, "y": 0}
PIXELS = bytes(range(24))
REFERENCE = {"width": 1, "height": 1, "channels": 3, "depth": "u8", "space": "srgb"}
KIND = {name: LAYER[name] for name in ("width", "height", "channels", "depth")}

Aside = Callable[..., Future[Any]]


def code_of(done: Future[Any]) -> str:
    error = done.exception(LONG_S)
    assert isinstance(error, ThinError)
    return error.code


@pytest.fixture
def backend(router: Any, path: Path) -> Any:
    router.publish(path)
    return router


@pytest.fixture
def client(backend: Any, aside: Aside) -> Any:
    """A client whose greetings are over; `backend.peer` is what the ROUTER calls it."""
    connecting = aside(ThinClient.connect, start=False)
    backend.peer = backend.greet()
    with connecting.result(LONG_S) as client:
        yield client


def harmonize(client: ThinClient, **more: Any) -> tuple[dict[str, Any], bytearray]:
    return client.harmonize(LAYER, PIXELS, REFERENCE, b"abc", again=False, **more)


def nothing_more(backend: Any) -> bool:
    return not backend.socket.poll(40)


# hello


def test_hello_says_who_asks_and_nothing_is_said_before_it(backend: Any, aside: Aside) -> None:
    connecting = aside(ThinClient.connect, start=False, client=("krita", "5.2"))
    peer, hello = backend.receive()
    assert (hello["op"], hello["protocol"], hello["client"]) == (
        "hello",
        list(PROTOCOL),
        {"name": "krita", "version": "5.2"},
    )
    assert 16 <= len(hello["nonce"]) <= 64
    assert nothing_more(backend)
    backend.answer(peer, {"op": "error", "id": hello["id"], "code": "x", "message": "m", "hint": "h"})
    assert code_of(connecting) == BACKEND_UNAVAILABLE


def test_every_hello_has_a_nonce_of_its_own(backend: Any, aside: Aside) -> None:
    nonces = set()
    for _ in range(3):
        connecting = aside(ThinClient.connect, start=False)
        peer, hello = backend.receive()
        nonces.add(hello["nonce"])
        backend.answer(peer, {"op": "hello", "id": hello["id"]})
        assert code_of(connecting) == BACKEND_UNAVAILABLE
    assert len(nonces) == 3


@pytest.mark.parametrize("proof", [b"", bytes(32), "text", None, 5])
def test_who_cannot_prove_itself_is_told_nothing(backend: Any, aside: Aside, proof: object) -> None:
    connecting = aside(lambda: harmonize(ThinClient.connect(start=False)))
    backend.greet(proof=proof)
    assert code_of(connecting) == BACKEND_UNAVAILABLE
    assert nothing_more(backend)


@pytest.mark.parametrize("spoken", [[2, 0], [0, 9], [], None, "1.0"])
def test_another_major_protocol_is_unsupported(backend: Any, aside: Aside, spoken: object) -> None:
    connecting = aside(ThinClient.connect, start=True)  # starting another backend would not help
    backend.greet(protocol=spoken)
    assert code_of(connecting) == UNSUPPORTED
    assert nothing_more(backend)


def test_a_newer_minor_protocol_and_unknown_fields_are_fine(backend: Any, aside: Aside) -> None:
    connecting = aside(ThinClient.connect, start=False)
    backend.greet(protocol=[1, 7, "x"], new={"a": [1]}, limits=None)
    connecting.result(LONG_S).close()


def test_a_backend_that_finds_us_too_new_is_quoted(backend: Any, aside: Aside) -> None:
    connecting = aside(ThinClient.connect, start=True)
    peer, hello = backend.receive()
    error = {"op": "error", "id": hello["id"], "code": "unsupported", "message": "Too new.", "hint": "Update."}
    backend.answer(peer, error)
    assert code_of(connecting) == UNSUPPORTED
    assert str(connecting.exception()) == "Too new. Update."


def test_a_wrong_key_is_unauthorized(backend: Any, path: Path) -> None:
    backend.key = "0" * 64
    backend.publish(path)
    with pytest.raises(ThinError) as caught:
        ThinClient.connect(start=False)
    assert caught.value.code == UNAUTHORIZED


# Requests and answers


def test_the_request_is_what_the_protocol_says(client: ThinClient, backend: Any, aside: Aside) -> None:
    options = {"strength": 0.5, "model": None}
    asking = aside(harmonize, client, selection=b"\xff" * 6, options=options)
    peer, packed, *frames = backend.socket.recv_multipart()
    header = backend.unpack(packed)
    assert peer == backend.peer
    number = header.pop("id")
    assert type(number) is int
    selection = {"width": 3, "height": 2}
    assert header == {
        "op": "harmonize",
        "layer": LAYER,
        "reference": REFERENCE,
        "selection": selection,
        "options": options,
    }
    assert frames == [PIXELS, b"abc", b"\xff" * 6]
    backend.answer(peer, {"op": "result", "id": number, "fit": "f", **KIND}, PIXELS[::-1])
    result, pixels = asking.result(LONG_S)
    assert (result["fit"], pixels) == ("f", PIXELS[::-1])


def test_progress_is_passed_on_in_order(client: ThinClient, backend: Any, aside: Aside) -> None:
    told: list[tuple[str, int, int, str]] = []
    asking = aside(harmonize, client, on_progress=lambda *what: told.append(what))
    peer, header = backend.receive()
    for done in range(3):
        progress = {"stage": "apply", "done": done, "total": 3, "text": "Colouring"}
        backend.answer(peer, {"op": "progress", "id": header["id"], **progress})
    backend.answer(peer, {"op": "progress", "id": header["id"], "stage": "apply", "done": "x", "total": 2**70 % 7})
    backend.answer(peer, {"op": "result", "id": header["id"], **KIND}, PIXELS)
    asking.result(LONG_S)
    assert told == [("apply", done, 3, "Colouring") for done in range(3)] + [("apply", 0, 2**70 % 7, "")]


def test_an_error_comes_through_as_it_is_and_the_connection_goes_on(
    client: ThinClient, backend: Any, aside: Aside
) -> None:
    asking = aside(harmonize, client)
    peer, header = backend.receive()
    backend.answer(peer, {"op": "error", "id": header["id"], "code": BUSY, "message": "Full.", "hint": "Wait."})
    error = asking.exception(LONG_S)
    assert isinstance(error, ThinError)
    assert (error.code, error.message, error.hint) == (BUSY, "Full.", "Wait.")
    asking = aside(client.status)
    again, header = backend.receive()
    backend.answer(again, {"op": "status", "id": header["id"], "state": "idle"})
    assert asking.result(LONG_S)["state"] == "idle"
    assert again == peer


def test_answers_to_other_requests_are_dropped(client: ThinClient, backend: Any, aside: Aside) -> None:
    ids = set()
    for _ in range(3):
        asking = aside(harmonize, client)
        peer, header = backend.receive()
        ids.add(header["id"])
        for foreign in (header["id"] - 1, 2**53 - 1, 0):
            backend.answer(peer, {"op": "error", "id": foreign, "code": BUSY, "message": "", "hint": ""})
            backend.answer(peer, {"op": "result", "id": foreign, **KIND}, bytes(24))
            backend.answer(peer, {"op": "progress", "id": foreign})
        backend.answer(peer, {"op": "result", "id": header["id"], **KIND}, PIXELS)
        backend.answer(peer, {"op": "error", "id": header["id"], "code": BUSY, "message": "", "hint": ""})
        assert asking.result(LONG_S)[1] == PIXELS
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("answer", "frames"),
    [
        ({"op": "result", **KIND}, []),
        ({"op": "result", **KIND}, [PIXELS[1:]]),
        ({"op": "result", **KIND, "width": 2}, [PIXELS]),
        ({"op": "result", **KIND, "depth": "u16"}, [PIXELS]),
        ({"op": "result"}, [PIXELS]),
        ({"op": "status"}, []),
        ({"op": 5}, []),
        ({}, []),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(
    client: ThinClient, backend: Any, aside: Aside, answer: dict[str, Any], frames: list[bytes]
) -> None:
    asking = aside(harmonize, client)
    peer, header = backend.receive()
    backend.answer(peer, {"id": header["id"], **answer}, *frames)
    assert code_of(asking) == INTERNAL


def test_a_frame_longer_than_the_layer_is_not_even_received(client: ThinClient, backend: Any, aside: Aside) -> None:
    asking = aside(harmonize, client)
    peer, header = backend.receive()
    backend.answer(peer, {"op": "result", "id": header["id"], **KIND}, bytes(MAX_HEADER + 1))
    assert code_of(asking) == BACKEND_LOST


@given(st.binary(max_size=100))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_for_an_answer_are_an_error(backend: Any, aside: Aside, answer: bytes) -> None:
    connecting = aside(ThinClient.connect, start=False)
    peer = backend.greet()
    with connecting.result(LONG_S) as client:
        asking = aside(client.status)
        backend.receive()
        backend.socket.send_multipart([peer, answer])
        assert code_of(asking) == INTERNAL


# Cancelling


def test_a_cancelled_request_ends_when_the_backend_says_so(client: ThinClient, backend: Any, aside: Aside) -> None:
    cancel = threading.Event()
    asking = aside(harmonize, client, is_cancelled=cancel.is_set)
    peer, header = backend.receive()
    assert nothing_more(backend)
    cancel.set()
    _, cancelling = backend.receive()
    assert (cancelling["op"], cancelling["request"]) == ("cancel", header["id"])
    assert cancelling["id"] != header["id"]
    assert not asking.done()
    backend.answer(peer, {"op": "error", "id": header["id"], "code": CANCELLED, "message": "", "hint": ""})
    assert code_of(asking) == CANCELLED
    backend.answer(peer, {"op": "cancelled", "id": cancelling["id"], "request": header["id"], "found": True})
    asking = aside(client.status)
    again, header = backend.receive()
    backend.answer(again, {"op": "status", "id": header["id"]})
    asking.result(LONG_S)
    assert again == peer  # over the same connection


def test_a_result_that_comes_after_the_cancel_is_not_returned(client: ThinClient, backend: Any, aside: Aside) -> None:
    asking = aside(harmonize, client, is_cancelled=lambda: True)
    peer, header = backend.receive()
    assert backend.receive()[1]["op"] == "cancel"
    backend.answer(peer, {"op": "result", "id": header["id"], **KIND}, PIXELS)
    assert code_of(asking) == CANCELLED


def test_a_backend_that_ignores_the_cancel_is_left(
    client: ThinClient, backend: Any, aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CANCEL_S", 0.2)
    asking = aside(harmonize, client, is_cancelled=lambda: True)
    peer, header = backend.receive()
    while not asking.done():
        backend.answer(peer, {"op": "progress", "id": header["id"]})
        time.sleep(0.01)
    assert code_of(asking) == CANCELLED


def test_what_a_callback_raises_comes_out_and_ends_the_request(client: ThinClient, backend: Any, aside: Aside) -> None:
    def on_progress(*_: object) -> None:
        raise KeyError("mine")

    asking = aside(harmonize, client, on_progress=on_progress)
    peer, header = backend.receive()
    backend.answer(peer, {"op": "progress", "id": header["id"]})
    assert isinstance(asking.exception(LONG_S), KeyError)
    asking = aside(client.status)
    assert backend.greet() != peer  # the old connection, and with it the request, is gone
    peer, header = backend.receive()
    backend.answer(peer, {"op": "status", "id": header["id"]})
    asking.result(LONG_S)


# Sizes are checked before anything is sent


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"layer": {**LAYER, "width": 4}}, BAD_REQUEST),
        ({"layer": {**LAYER, "width": 0}}, BAD_REQUEST),
        ({"layer": {**LAYER, "width": -3, "height": -2}}, BAD_REQUEST),
        ({"layer": {**LAYER, "width": 3.0}}, BAD_REQUEST),
        ({"layer": {**LAYER, "height": "2"}}, BAD_REQUEST),
        ({"layer": {**LAYER, "height": True}}, BAD_REQUEST),
        ({"layer": {**LAYER, "channels": 5}}, BAD_REQUEST),
        ({"layer": {**LAYER, "depth": "u32"}}, BAD_REQUEST),
        ({"layer": {**LAYER, "depth": []}}, BAD_REQUEST),
        ({"layer": {**LAYER, "depth": "u16"}}, BAD_REQUEST),
        ({"layer": {}}, BAD_REQUEST),
        ({"layer": {**LAYER, "width": 300_001}}, BAD_REQUEST),
        ({"layer": {**LAYER, "width": 100, "height": 11}}, TOO_LARGE),
        ({"layer": {**LAYER, "width": 100, "height": 10}}, TOO_LARGE),
        ({"layer": {**LAYER, "profile": bytes(5 * 2**20)}}, TOO_LARGE),
        ({"layer": {**LAYER, "x": object()}}, BAD_REQUEST),
        ({"layer_bytes": PIXELS[1:]}, BAD_REQUEST),
        ({"layer_bytes": memoryview(PIXELS * 2)[::2]}, BAD_REQUEST),
        ({"reference": None}, BAD_REQUEST),
        ({"reference_bytes": None}, BAD_REQUEST),
        ({"reference_bytes": b"abcd"}, BAD_REQUEST),
        ({"reference": {**REFERENCE, "width": 1025}, "reference_bytes": bytes(3075)}, BAD_REQUEST),
        ({"reference": None, "reference_bytes": None}, BAD_REQUEST),
        ({"reference": None, "reference_bytes": None, "options": {"fit": None}}, BAD_REQUEST),
        ({"selection": bytes(5)}, BAD_REQUEST),
    ],
)
def test_what_does_not_fit_is_not_sent(backend: Any, aside: Aside, change: dict[str, Any], code: str) -> None:
    connecting = aside(ThinClient.connect, start=False)
    backend.greet(limits={"pixels": 1000, "frame_bytes": 3999})
    request = {"layer": LAYER, "layer_bytes": PIXELS, "reference": REFERENCE, "reference_bytes": b"abc"}
    with connecting.result(LONG_S) as client:
        with pytest.raises(ThinError) as caught:
            client.harmonize(**{**request, **change})
        assert caught.value.code == code
        assert nothing_more(backend)


def test_with_a_fit_no_reference_is_needed(client: ThinClient, backend: Any, aside: Aside) -> None:
    words = memoryview(PIXELS).cast("I")
    asking = aside(client.harmonize, LAYER, words, options={"fit": "f"})
    peer, packed, *frames = backend.socket.recv_multipart()
    header = backend.unpack(packed)
    assert "reference" not in header
    assert frames == [PIXELS]
    backend.answer(peer, {"op": "result", "id": header["id"], **KIND}, PIXELS)
    asking.result(LONG_S)


def test_a_profile_may_be_larger_than_the_map_otherwise(client: ThinClient, backend: Any, aside: Aside) -> None:
    profile = bytes(2**22)
    asking = aside(client.harmonize, {**LAYER, "profile": profile}, PIXELS, options={"fit": "f"})
    peer, header = backend.receive()
    assert header["layer"]["profile"] == profile
    backend.answer(peer, {"op": "result", "id": header["id"], **KIND}, PIXELS)
    asking.result(LONG_S)
