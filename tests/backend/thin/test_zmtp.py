"""The plain-Python DEALER against libzmq's ROUTER."""

from __future__ import annotations

import os
import random
import select
import socket
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.thin import zmtp
from backend.thin.protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, UNAUTHORIZED, ThinError
from tests.backend.thin.dealing import LONG_S, StartPeer, ask, connect, played, refusal

pytestmark = pytest.mark.integration


def test_large_frames_go_both_ways_unchanged(echo: Any) -> None:
    link = echo.connect()
    pixels = random.Random(1).randbytes(64 * 2**20)
    link.post([b"header", pixels])
    header, back = link.receive(LONG_S)
    assert header == b"header"
    assert back == pixels
    link.close()


def test_a_large_frame_is_not_copied_on_its_way_out_and_once_on_its_way_in(echo: Any) -> None:
    link = echo.connect()
    pixels = bytes(2**26)
    tracemalloc.start()
    link.send([pixels], LONG_S)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    (back,) = link.receive(LONG_S)
    assert tracemalloc.get_traced_memory()[1] < 2**26 + 2**20
    assert back == pixels
    del back
    assert tracemalloc.get_traced_memory()[0] < 2**20
    tracemalloc.stop()
    link.close()


def test_what_was_not_sent_is_let_go_when_the_connection_is_closed(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    link = played(peer, by_hand, bool)
    pixels = bytearray(2**25)
    with pytest.raises(TimeoutError):
        link.send([pixels], 0.1)
    with pytest.raises(BufferError):
        pixels.append(0)
    link.close()
    pixels.append(0)


def test_many_frames_and_many_messages_keep_their_order(echo: Any) -> None:
    link = echo.connect()
    frames = [bytes([number % 256]) * (number % 300) for number in range(1000)]
    assert ask(link, *frames) == frames
    for number in range(5000):
        link.post([b"%d" % number, b"x" * (number % 7)])
    for number in range(5000):
        assert link.receive(LONG_S) == [b"%d" % number, b"x" * (number % 7)]
    link.close()


@given(st.lists(st.sampled_from((0, 1, 2, 255, 256, 257, 65535, 65536, 65537, 200_000)), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_frames_of_any_size_come_back_as_they_went(echo: Any, sizes: list[int]) -> None:
    link = echo.connect()
    frames = [os.urandom(size) for size in sizes]
    assert ask(link, *frames) == frames
    link.close()


def test_every_kind_of_buffer_can_be_sent(echo: Any) -> None:
    link = echo.connect()
    words = memoryview(bytes(range(256)) * 1024).cast("I")
    assert ask(link, bytearray(b"ab"), memoryview(b"cd"), words) == [b"ab", b"cd", words.tobytes()]
    link.close()


def test_messages_survive_a_wire_that_delivers_a_few_bytes_at_a_time(echo: Any, peer: StartPeer) -> None:
    def trickle(client: socket.socket) -> None:
        dice = random.Random(3)
        with socket.create_connection(("127.0.0.1", echo.port)) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            other = {client: server, server: client}
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    piece = ready.recv(dice.randint(1, 7))
                    if not piece:
                        return
                    other[ready].sendall(piece)

    link = echo.connect(peer(trickle))
    for frames in ([b"a"], [b"", b"bc" * 200, b""], [os.urandom(3000), b"d"]):
        assert ask(link, *frames) == frames
    link.close()


def test_a_heartbeat_of_libzmq_is_answered(make_router: Callable[..., Any]) -> None:
    router = make_router(heartbeat_ivl=50, heartbeat_timeout=300, heartbeat_ttl=1000)
    link, careless = router.connect(), router.connect()
    with pytest.raises(TimeoutError):
        link.receive(1.0)
    link.post([b"still here"])
    with pytest.raises(TimeoutError):
        link.receive(0.05)
    assert router.socket.recv_multipart()[1:] == [b"still here"]
    with pytest.raises(ThinError) as caught:  # who doesn't listen, doesn't answer, and libzmq ends that
        careless.receive(LONG_S)
    assert caught.value.code == BACKEND_LOST
    link.close()
    careless.close()


def test_libzmq_answers_our_ping_while_nobody_reads_its_socket(router: Any) -> None:
    link = router.connect()
    before = link.last_heard
    with pytest.raises(TimeoutError):
        link.receive(0.1)
    assert link.last_heard == before
    link.ping()
    with pytest.raises(TimeoutError):
        link.receive(0.5)
    assert link.can_ping
    assert link.last_heard > before
    link.close()


def test_a_restarted_server_is_noticed_at_once_and_met_again(router: Any) -> None:
    link = router.connect()
    assert ask_by_hand(router, link) == b"answer"
    router.restart()
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    assert refusal(lambda: link.send([b"more"], LONG_S)) == BACKEND_LOST
    link.close()
    link = router.connect()
    assert ask_by_hand(router, link) == b"answer"
    link.close()


def ask_by_hand(router: Any, link: zmtp.Connection) -> bytes:
    link.send([b"question"], LONG_S)
    peer, _ = router.socket.recv_multipart()
    router.socket.send_multipart([peer, b"answer"])
    return bytes(link.receive(LONG_S)[0])


def test_sending_to_who_does_not_read_ends_in_time_and_goes_on_later(make_router: Callable[..., Any]) -> None:
    router = make_router(rcvhwm=2)  # with 1, libzmq passes nothing on at all where keys are asked for
    link = router.connect()
    pixels = random.Random(2).randbytes(4 * 2**20)
    sent, late = 0, 0
    while late < 3:  # in a row: once may be the kernel being slow to take what it has room for
        sent += 1
        try:
            link.send([b"%d" % sent, pixels], 0.3)
            late = 0
        except TimeoutError:
            late += 1
    assert link.has_unsent
    with pytest.raises(TimeoutError):
        link.send([b"last"], 0.1)
    with pytest.raises(TimeoutError):
        link.receive(0.1)
    received = []
    while not received or received[-1][1] != b"last":
        if router.socket.poll(0):
            received.append(router.socket.recv_multipart())
        else:
            with pytest.raises(TimeoutError):
                link.receive(0.01)  # what is left goes out while an answer is waited for
    assert [frames[1] for frames in received] == [*(b"%d" % (number + 1) for number in range(sent)), b"last"]
    assert all(frames[2] == pixels for frames in received[:-1])
    assert not link.has_unsent
    link.close()


def test_one_thread_may_send_while_another_receives(echo: Any, aside: Callable[..., Future[Any]]) -> None:
    link = echo.connect()
    dice = random.Random(4)
    messages = [[b"%d" % number, bytes(dice.choice((0, 10, 300, 70_000, 300_000)))] for number in range(300)]

    def send_all() -> None:
        for message in messages:
            link.send(message, LONG_S)

    sending = aside(send_all)
    for message in messages:
        assert link.receive(LONG_S) == message
    sending.result(LONG_S)
    link.close()


def test_two_threads_do_not_mix_their_frames(router: Any, aside: Callable[..., Future[Any]]) -> None:
    link = router.connect()

    def send_all(mark: bytes) -> None:
        for _ in range(100):
            link.send([mark, mark * 100_000, mark], LONG_S)

    sending = [aside(send_all, mark) for mark in (b"a", b"b", b"c")]
    for _ in range(300):
        _, first, second, third = router.socket.recv_multipart()
        assert (second, third) == (first * 100_000, first)
    for one in sending:
        one.result(LONG_S)
    link.close()


def test_a_wrong_key_is_refused_and_the_server_never_hears_of_it(router: Any) -> None:
    right, router.key = router.key, "0" * 64
    assert refusal(router.connect) == UNAUTHORIZED
    assert not router.socket.poll(50)
    router.key = right
    router.connect().close()


def test_a_server_that_asks_for_no_key_is_refused() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as open_to_all:
        port = open_to_all.bind_to_random_port("tcp://127.0.0.1")
        assert refusal(lambda: connect(port)) == BACKEND_UNAVAILABLE


def test_a_server_that_asks_for_another_kind_of_key_is_refused() -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as curve:
        _, curve.curve_secretkey = zmq.curve_keypair()
        curve.curve_server = True
        port = curve.bind_to_random_port("tcp://127.0.0.1")
        assert refusal(lambda: connect(port)) == BACKEND_UNAVAILABLE
