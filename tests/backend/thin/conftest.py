"""The other ends that the thin client meets: a real ROUTER, hand-made peers, a backend that plays as it is told."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from zmq.auth.thread import ThreadAuthenticator

from backend.thin import connection, installed, zmtp

ENDLESS_S = 30.0
"""For what must come, however busy the machine is."""
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"PLAIN".ljust(20, b"\0") + bytes(32)


class Router:
    """A ROUTER of libzmq's, which lets in who knows `key`. It answers nothing by itself."""

    def __init__(self, **options: int) -> None:
        self.key = secrets.token_hex(32)
        self.proof_key = secrets.token_hex(32)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator = ThreadAuthenticator(self.context)
        self._authenticator.start()
        self._authenticator.configure_plain(domain="*", passwords={"gknet": self.key})
        self.socket = self._bind(0, options)
        self.port = int(self.socket.last_endpoint.rpartition(b":")[2])

    def _bind(self, port: int, options: Mapping[str, int]) -> zmq.Socket[bytes]:
        router = self.context.socket(zmq.ROUTER)
        router.plain_server = True
        router.linger = 0
        router.rcvtimeo = int(ENDLESS_S * 1000)
        for name, value in options.items():
            setattr(router, name, value)
        for _ in range(500):
            try:
                router.bind(f"tcp://127.0.0.1:{port}")
            except zmq.ZMQError:  # libzmq closes a socket when it finds the time: the port may not be free yet
                time.sleep(0.01)
            else:
                return router
        raise TimeoutError

    def connect(self, port: int | None = None, **options: Any) -> zmtp.Connection:
        """The thin end of a connection to it, or through `port`."""
        settings = {"timeout_s": ENDLESS_S, "max_frame": 2**27, "max_frames": 1000, **options}
        return zmtp.Connection("127.0.0.1", port or self.port, b"gknet", self.key.encode(), **settings)

    def restart(self) -> None:
        """Closes it, every connection with it, and opens it again at the same port."""
        self.socket.close()
        self.socket = self._bind(self.port, {})

    def receive(self) -> tuple[bytes, dict[str, Any]]:
        """Who sent the next request, and its map."""
        peer, header, *_ = self.socket.recv_multipart()
        return peer, self.unpack(header)

    def unpack(self, header: bytes) -> dict[str, Any]:
        unpacked: dict[str, Any] = msgpack.unpackb(header)
        return unpacked

    def answer(self, peer: bytes, header: Mapping[str, Any], *frames: bytes) -> None:
        self.socket.send_multipart([peer, msgpack.packb(header), *frames])

    def greet(self, **said: Any) -> bytes:
        """Answers the next `hello` as a backend should, but for what is said otherwise; gives the peer's name."""
        peer, hello = self.receive()
        assert hello["op"] == "hello"
        proof = hmac.digest(bytes.fromhex(self.proof_key), hello["nonce"], hashlib.sha256)
        answer = {"op": "hello", "id": hello["id"], "protocol": [1, 0], "proof": proof, "limits": {}}
        self.answer(peer, {**answer, **said})
        return peer

    def publish(self, path: Path) -> None:
        """Writes the connection file."""
        address = {"host": "127.0.0.1", "port": self.port, "key": self.key, "proof_key": self.proof_key}
        path.touch(0o600)
        path.write_text(json.dumps(address))

    def close(self) -> None:
        self.socket.close()
        self._authenticator.stop()
        self.context.destroy(linger=0)


@pytest.fixture
def make_router() -> Iterator[Callable[..., Router]]:
    made: list[Router] = []

    def make(**options: int) -> Router:
        made.append(Router(**options))
        return made[-1]

    yield make
    for router in made:
        router.close()


@pytest.fixture
def router(make_router: Callable[..., Router]) -> Router:
    return make_router()


@pytest.fixture
def echo(router: Router) -> Iterator[Router]:
    """A ROUTER that sends every message back until the test is over."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            if router.socket.poll(20):
                router.socket.send_multipart(router.socket.recv_multipart(copy=False), copy=False)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(loop)
        yield router
        stop.set()
        running.result(ENDLESS_S)


class Peer:
    """A listening socket whose connections, one after another, are handed to a function in a thread."""

    def __init__(self, play: Callable[[socket.socket], object]) -> None:
        self._play = play
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                self._accepted.append(accepted)
                with suppress(OSError):
                    self._play(accepted)

    def close(self) -> None:
        for waiting in (self._listening, *self._accepted):
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        # What is played may still hold its connection: that is closed when it has seen that it is over.
        self._thread.join(ENDLESS_S)
        for accepted in self._accepted:
            accepted.close()


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], object]], int]]:
    """Starts a hand-made peer; gives its port."""
    made: list[Peer] = []

    def make(play: Callable[[socket.socket], object]) -> int:
        made.append(Peer(play))
        return made[-1].port

    yield make
    for one in made:
        one.close()


def read_exactly(stream: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        more = stream.recv(count - len(received))
        if not more:
            raise ConnectionError("closed")
        received += more
    return bytes(received)


def read_frame(stream: socket.socket) -> tuple[int, bytes]:
    """Flags and body of the next frame."""
    flags, size = read_exactly(stream, 2)
    if flags & 2:
        size = int.from_bytes(bytes([size]) + read_exactly(stream, 7), "big")
    return flags, read_exactly(stream, size)


def command(name: bytes, data: bytes = b"") -> bytes:
    body = bytes([len(name)]) + name + data
    return bytes([4, len(body)]) + body


def let_in(stream: socket.socket) -> None:
    """The server's side of the handshake, whatever the password."""
    stream.sendall(GREETING)
    let_in_greeted(stream)


def let_in_greeted(stream: socket.socket) -> None:
    """The same, where the greeting has been said."""
    read_exactly(stream, 64)
    read_frame(stream)
    stream.sendall(command(b"WELCOME"))
    read_frame(stream)
    stream.sendall(command(b"READY", b"\x0bSocket-Type\0\0\0\x06ROUTER"))


@pytest.fixture
def by_hand() -> dict[str, Any]:
    """The pieces of a hand-made ZMTP server."""
    return {"greeting": GREETING, "command": command} | {
        piece.__name__: piece for piece in (read_exactly, read_frame, let_in, let_in_greeted)
    }


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a function in another thread; the test ends only when it has."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the connection file belongs during this test; nothing is there yet, and nothing is installed."""
    path = tmp_path / "runtime" / "backend.json"
    path.parent.mkdir(0o700)
    monkeypatch.setenv(connection.VARIABLE, str(path))
    monkeypatch.setattr(installed, "INSTALLED", tmp_path / "installed.json")
    return path


@pytest.fixture
def pids(path: Path) -> Callable[[], list[int]]:
    """Waits until a fake backend has been started; gives the processes of all that have been so far."""
    file = path.with_name("pids")

    def wait() -> list[int]:
        while not (file.exists() and file.read_text().endswith("\n")):
            time.sleep(0.02)
        return [int(pid) for pid in file.read_text().split()]

    return wait


@pytest.fixture
def install(path: Path) -> Iterator[Callable[..., None]]:
    """Records the fake backend, in the given role, as what is to be started; ends all that were when the test does."""

    def record(role: str = "normal") -> None:
        fake = str(Path(__file__).with_name("fake_backend.py"))
        installed.INSTALLED.write_text(json.dumps({"command": [sys.executable, fake, role]}))

    yield record
    pids = path.with_name("pids")
    for pid in pids.read_text().split() if pids.exists() else ():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
