"""A connection of the plain-Python DEALER for a test, and what it ends in."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from backend.thin import zmtp
from backend.thin.protocol import ThinError

LONG_S = 30.0
StartPeer = Callable[[Callable[[socket.socket], object]], int]


def refusal(work: Callable[[], object]) -> str:
    with pytest.raises(ThinError) as caught:
        work()
    return caught.value.code


def connect(port: int, timeout_s: float = LONG_S, max_frame: int = 1000) -> zmtp.Connection:
    return zmtp.Connection(
        "127.0.0.1", port, b"gknet", b"a" * 64, timeout_s=timeout_s, max_frame=max_frame, max_frames=10
    )


def ask(link: zmtp.Connection, *frames: bytes) -> list[bytes]:
    link.post(frames)
    return [bytes(frame) for frame in link.receive(LONG_S)]


def played(peer: StartPeer, by_hand: dict[str, Any], then: Callable[[socket.socket], object]) -> zmtp.Connection:
    """A connection with a peer that lets us in and then does as it is told."""

    def play(stream: socket.socket) -> None:
        by_hand["let_in"](stream)
        then(stream)

    return connect(peer(play))
