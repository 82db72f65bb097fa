"""The plain-Python DEALER against peers that are something else, or fail before they have shaken hands."""

from __future__ import annotations

import functools
import http.server
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.thin import zmtp
from backend.thin.protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, UNAUTHORIZED, ThinError
from tests.backend.thin.dealing import LONG_S, StartPeer, connect, refusal

pytestmark = pytest.mark.integration


def outcome(work: Callable[[], object]) -> object:
    """What it gives, or the code of its failure."""
    try:
        return work()
    except ThinError as error:
        return error.code


def rude_web_server(stream: socket.socket) -> None:
    stream.recv(1)
    stream.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    stream.shutdown(socket.SHUT_RDWR)


def echoing(stream: socket.socket) -> None:
    while received := stream.recv(4096):
        stream.sendall(received)


def banner(stream: socket.socket) -> None:
    stream.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    stream.recv(4096)


def closing(stream: socket.socket) -> None:
    stream.shutdown(socket.SHUT_RDWR)


def old(stream: socket.socket) -> None:
    stream.sendall(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x06\0\0")
    stream.recv(4096)


@pytest.mark.parametrize("stranger", [rude_web_server, echoing, banner, closing, old])
def test_a_peer_that_is_something_else_is_refused(peer: StartPeer, stranger: Callable[[socket.socket], None]) -> None:
    assert refusal(lambda: connect(peer(stranger))) == BACKEND_UNAVAILABLE


@pytest.mark.parametrize("version", [0, 1, 2, 4, 255])
def test_another_major_version_is_refused(peer: StartPeer, by_hand: dict[str, Any], version: int) -> None:
    greeting = bytearray(by_hand["greeting"])
    greeting[10] = version
    assert refusal(lambda: connect(peer(lambda stream: stream.sendall(greeting)))) == BACKEND_UNAVAILABLE


def test_the_key_goes_to_nobody_who_does_not_ask_for_one(peer: StartPeer) -> None:
    received = Future[bytes]()

    def play(stream: socket.socket) -> None:
        stream.settimeout(0.5)
        got = b""
        try:
            while True:
                got += stream.recv(4096)
        except TimeoutError:
            received.set_result(got)

    assert refusal(lambda: connect(peer(play), timeout_s=1.0)) == BACKEND_UNAVAILABLE
    assert len(received.result(LONG_S)) == 64
    assert b"a" * 64 not in received.result()


@pytest.mark.parametrize("said", [0, 9, 10, 11, 63, 64])
def test_silence_is_waited_for_no_longer_than_told(peer: StartPeer, by_hand: dict[str, Any], said: int) -> None:
    port = peer(lambda stream: stream.sendall(by_hand["greeting"][:said]))
    assert refusal(lambda: connect(port, timeout_s=0.1)) == BACKEND_UNAVAILABLE


def test_who_sends_a_byte_now_and_then_does_not_get_more_time(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    def drip(stream: socket.socket) -> None:
        for byte in by_hand["greeting"] + by_hand["command"](b"WELCOME") * 100:
            stream.sendall(bytes([byte]))
            time.sleep(0.01)

    port = peer(drip)
    start = time.monotonic()
    assert refusal(lambda: connect(port, timeout_s=0.3)) == BACKEND_UNAVAILABLE
    assert time.monotonic() - start < 3.0


def test_nobody_at_all_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert refusal(lambda: connect(port)) == BACKEND_UNAVAILABLE


def test_oneself_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    from_there = functools.partial(socket.create_connection, source_address=("127.0.0.1", port))
    monkeypatch.setattr(socket, "create_connection", from_there)
    assert refusal(lambda: connect(port)) == BACKEND_UNAVAILABLE


def test_a_peer_that_resets_at_any_moment_is_refused(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    said = iter(range(40))

    def reset(stream: socket.socket) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.sendall(by_hand["greeting"][: next(said) * 4])
        stream.close()

    port = peer(reset)
    for _ in range(40):
        assert refusal(lambda: connect(port)) == BACKEND_UNAVAILABLE


def test_a_web_server_is_refused(aside: Callable[..., Future[Any]]) -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as web:
        aside(web.serve_forever, 0.05)
        assert refusal(lambda: connect(web.server_port, timeout_s=0.3)) == BACKEND_UNAVAILABLE
        web.shutdown()


def test_an_error_and_a_close_in_the_handshake_are_told_apart(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    def refuse(stream: socket.socket) -> None:
        stream.sendall(by_hand["greeting"])
        by_hand["read_exactly"](stream, 64)
        by_hand["read_frame"](stream)
        stream.sendall(by_hand["command"](b"ERROR", b"\x07go away"))

    def hang_up(stream: socket.socket) -> None:
        stream.sendall(by_hand["greeting"])
        by_hand["read_exactly"](stream, 64)
        by_hand["read_frame"](stream)
        stream.shutdown(socket.SHUT_RDWR)

    assert refusal(lambda: connect(peer(refuse))) == UNAUTHORIZED
    assert refusal(lambda: connect(peer(hang_up))) == BACKEND_UNAVAILABLE


@given(
    st.sampled_from(["", "signature", "greeting", "welcome", "ready"]),
    st.binary(max_size=80) | st.lists(st.sampled_from([b"\x00\x01a", b"\x04\x00", b"\x04\x05\x04PING"])).map(b"".join),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_at_any_point_end_in_an_error(
    random_peer: tuple[int, list[bytes]], by_hand: dict[str, Any], known: str, rest: bytes
) -> None:
    port, said = random_peer
    command = by_hand["command"]
    stages = {"": b"", "signature": by_hand["greeting"][:10], "greeting": by_hand["greeting"]}
    stages["welcome"] = stages["greeting"] + command(b"WELCOME")
    stages["ready"] = stages["welcome"] + command(b"READY")
    said[:] = [stages[known] + rest]
    link = outcome(lambda: connect(port))
    if not isinstance(link, zmtp.Connection):
        assert link in (BACKEND_UNAVAILABLE, UNAUTHORIZED)
        return
    while isinstance(received := outcome(lambda: link.receive(LONG_S)), list):
        assert all(isinstance(frame, bytearray) for frame in received)
    assert received == BACKEND_LOST
    link.close()


@pytest.fixture
def random_peer(peer: StartPeer) -> tuple[int, list[bytes]]:
    """A peer that says what lies in the list, and hangs up."""
    said: list[bytes] = []

    def play(stream: socket.socket) -> None:
        stream.sendall(said[0])
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(4096):
            pass

    return peer(play), said
