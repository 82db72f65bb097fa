"""The plain-Python DEALER against hand-made peers that do what libzmq won't."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import Any

import pytest

from backend.thin.protocol import BACKEND_LOST
from tests.backend.thin.dealing import LONG_S, StartPeer, ask, connect, played, refusal

pytestmark = pytest.mark.integration


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
    before = link.last_heard
    with pytest.raises(TimeoutError):
        link.receive(0.1)
    assert link.last_heard == before  # bytes that the system merely buffers don't prove that the peer is alive
    go_on.release()
    while link.has_unsent:
        with pytest.raises(TimeoutError):
            link.receive(0.05)
    assert link.last_heard > before
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
        except protocol.ThinError as error:
            print(error.code)
        link.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", host, str(peer(play))], capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, BACKEND_LOST), done.stderr
