"""The plain-Python DEALER against libzmq's ROUTER, and against hand-made peers that do what libzmq won't."""

from __future__ import annotations

import functools
import http.server
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.thin import zmtp
from backend.thin.protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, UNAUTHORIZED, BackendError

LONG_S = 30.0
StartPeer = Callable[[Callable[[socket.socket], object]], int]


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(BackendError) as caught:
        work()
    return caught.value.code


def outcome(work: Callable[[], object]) -> object:
    """What it gives, or the code of its failure."""
    try:
        return work()
    except BackendError as error:
        return error.code


def connect(port: int, timeout_s: float = LONG_S, max_frame: int = 1000) -> zmtp.Connection:
    return zmtp.Connection(
        "127.0.0.1", port, b"gknet", b"a" * 64, timeout_s=timeout_s, max_frame=max_frame, max_frames=10
    )


def ask(link: zmtp.Connection, *frames: bytes) -> list[bytes]:
    link.post(frames)
    return [bytes(frame) for frame in link.receive(LONG_S)]


# With libzmq


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
    with pytest.raises(BackendError) as caught:  # who doesn't listen, doesn't answer, and libzmq ends that
        careless.receive(LONG_S)
    assert caught.value.code == BACKEND_LOST
    link.close()
    careless.close()


def test_libzmq_answers_our_ping_while_nobody_reads_its_socket(router: Any) -> None:
    link = router.connect()
    before = link.heard
    with pytest.raises(TimeoutError):
        link.receive(0.1)
    assert link.heard == before
    link.ping()
    with pytest.raises(TimeoutError):
        link.receive(0.5)
    assert link.can_ping
    assert link.heard > before
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
    assert link.unsent
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
    assert not link.unsent
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


# With peers made by hand


def played(peer: StartPeer, by_hand: dict[str, Any], then: Callable[[socket.socket], object]) -> zmtp.Connection:
    """A connection with a peer that lets us in and then does as it is told."""

    def play(stream: socket.socket) -> None:
        by_hand["let_in"](stream)
        then(stream)

    return connect(peer(play))


def test_an_answer_that_comes_in_pieces_is_put_together_across_deadlines(
    peer: StartPeer, by_hand: dict[str, Any]
) -> None:
    pieces = [b"\x01", b"\x05he", b"llo\x02\0\0\0\0", b"\0\0\x01", b"\x2c" + b"x" * 200, b"x" * 99, b"x"]
    go_on = threading.Semaphore(0)

    def slowly(stream: socket.socket) -> None:
        for piece in pieces:
            stream.sendall(piece)
            go_on.acquire(timeout=LONG_S)

    link = played(peer, by_hand, slowly)
    for _ in pieces[:-1]:
        with pytest.raises(TimeoutError):
            link.receive(0.02)
        go_on.release()
    assert link.receive(LONG_S) == [b"hello", b"x" * 300]
    go_on.release()
    link.close()


def test_unknown_commands_are_ignored_and_a_ping_is_echoed(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    heard: list[tuple[int, bytes]] = []
    command = by_hand["command"]

    def play(stream: socket.socket) -> None:
        stream.sendall(command(b"SUBSCRIBE", b"x") + command(b"") + b"\x04\x00" + b"\x06\0\0\0\0\0\0\0\x04\x03new")
        stream.sendall(command(b"PING") + command(b"PING", b"\0\x05context") + command(b"PONG", b"unasked"))
        stream.sendall(b"\x01\x01a" + command(b"PING", bytes(2) + b"in the middle of a message") + b"\x00\x01b")
        heard.extend(by_hand["read_frame"](stream) for _ in range(3))
        stream.sendall(b"\x00\x04done")

    link = played(peer, by_hand, play)
    assert link.receive(LONG_S) == [b"a", b"b"]
    assert link.receive(LONG_S) == [b"done"]
    assert heard == [(4, b"\x04PONG"), (4, b"\x04PONGcontext"), (4, b"\x04PONGin the middle of")]
    link.close()


def test_endless_pings_of_who_reads_nothing_do_not_fill_the_memory(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    flood = by_hand["command"](b"PING", b"\0\0" + b"x" * 16) * 20_000
    link = played(peer, by_hand, lambda stream: [stream.sendall(flood) for _ in range(100)])
    link.post([bytes(2**24)])  # stays in the way of all that follows
    with pytest.raises(TimeoutError):
        link.receive(1.0)
    assert len(link._unsent) < 300
    link.close()


def test_what_is_taken_slowly_counts_as_a_sign_of_life(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    go_on = threading.Semaphore(0)

    def play(stream: socket.socket) -> None:
        go_on.acquire(timeout=LONG_S)
        while stream.recv(2**16):
            pass

    link = played(peer, by_hand, play)
    link.post([bytes(2**25)])
    with pytest.raises(TimeoutError):
        link.receive(0.3)
    link.ping()
    before = link.heard
    with pytest.raises(TimeoutError):
        link.receive(0.1)
    assert link.heard == before  # what the system stores for us is no sign of anybody's life
    go_on.release()
    while link.unsent:
        with pytest.raises(TimeoutError):
            link.receive(0.05)
    assert link.heard > before
    link.close()


@pytest.mark.parametrize("size", [2**17, 2**28, 2**40, 2**63, 2**64 - 1])
@pytest.mark.parametrize("flags", [2, 3, 6])
def test_a_frame_that_claims_too_much_is_refused_before_memory_is_taken(
    peer: StartPeer, by_hand: dict[str, Any], size: int, flags: int
) -> None:
    link = played(peer, by_hand, lambda stream: stream.sendall(bytes([flags]) + size.to_bytes(8, "big")))
    tracemalloc.start()
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    assert tracemalloc.get_traced_memory()[1] < 2**17
    tracemalloc.stop()
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    link.close()


def test_a_frame_may_be_as_long_as_is_allowed_and_no_longer(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    sizes = (b"\x02" + size.to_bytes(8, "big") + bytes(size) for size in (1000, 1001))
    link = played(peer, by_hand, lambda stream: stream.sendall(b"".join(sizes)))
    assert link.receive(LONG_S) == [bytes(1000)]
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    link.close()


def test_a_message_of_too_many_frames_is_refused(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    link = played(peer, by_hand, lambda stream: stream.sendall(b"\x01\x00" * 10_000))
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    link.close()


@pytest.mark.parametrize("flags", [8, 0x80, 0xFF, 5, 7])
def test_flags_that_do_not_exist_are_refused(peer: StartPeer, by_hand: dict[str, Any], flags: int) -> None:
    link = played(peer, by_hand, lambda stream: stream.sendall(bytes([flags]) + bytes(9)))
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    link.close()


def test_a_connection_that_ends_in_the_middle_of_a_frame_is_lost(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    def play(stream: socket.socket) -> None:
        stream.sendall(b"\x00\x03all\x00\x09not all")
        stream.shutdown(socket.SHUT_RDWR)

    link = played(peer, by_hand, play)
    assert link.receive(LONG_S) == [b"all"]
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    link.close()
    assert refusal(lambda: link.receive(LONG_S)) == BACKEND_LOST
    assert refusal(lambda: link.send([b"x"], LONG_S)) == BACKEND_LOST


def test_zmtp_3_0_is_accepted_and_never_pinged(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    def play(stream: socket.socket) -> None:
        greeting = bytearray(by_hand["greeting"])
        greeting[11] = 0
        stream.sendall(greeting[:11])
        time.sleep(0.05)  # as libzmq does, which waits for the other's version before it says the rest
        stream.sendall(greeting[11:])
        by_hand["let_in_greeted"](stream)
        flags, body = by_hand["read_frame"](stream)
        stream.sendall(bytes([flags, len(body)]) + body)

    link = connect(peer(play))
    assert not link.can_ping
    link.ping()
    assert ask(link, b"first") == [b"first"]
    link.close()


def test_a_write_to_who_has_gone_does_not_end_the_host(peer: StartPeer, by_hand: dict[str, Any]) -> None:
    def play(stream: socket.socket) -> None:
        by_hand["let_in"](stream)
        stream.shutdown(socket.SHUT_RDWR)
        stream.close()

    host = """if True:
        import signal, sys
        from backend.thin import protocol, zmtp
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as a host may have it that embeds Python
        link = zmtp.Connection("127.0.0.1", int(sys.argv[1]), b"u", b"p", timeout_s=30, max_frame=9, max_frames=9)
        try:
            while True:
                link.send([bytes(100000)], 30)
        except protocol.BackendError as error:
            print(error.code)
        link.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", host, str(peer(play))], capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, BACKEND_LOST), done.stderr


# With peers that are something else


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
