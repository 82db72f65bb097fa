"""A backend in a process of its own, and a peer that speaks with it frame by frame."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq

from tests.preloaded import Process

NONCE = bytes(range(32))


class Backend:
    """`gknet serve` for one connection file.

    fresh: as a new Python, which still imports torch when it begins to listen; otherwise torch is there already.
    """

    def __init__(self, folder: Path, *arguments: str, fresh: bool = False) -> None:
        self.path = folder / "run" / "backend.json"
        self.log = folder / "backend.log"
        self.process = self.launch(*arguments, fresh=fresh)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("Listening on port "), said

    def launch(self, *arguments: str, fresh: bool = False) -> subprocess.Popen[str] | Process:
        """One more process for the same connection file."""
        words = ["serve", "--device", "cpu", "--log", str(self.log), *arguments]
        environment = {**os.environ, "GKNET_CONNECTION": str(self.path)}
        if not fresh:
            return Process(words, env=environment)
        return subprocess.Popen(
            [sys.executable, "-m", "backend.cli", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What the connection file says."""
        facts: dict[str, Any] = json.loads(self.path.read_text())
        return facts

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal; exit status and what it said."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


class Peer:
    """A DEALER that sends whatever it is told to."""

    def __init__(self, facts: dict[str, Any], *, user: str = "gknet", key: str | None = None) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndtimeo = 5_000
        self.socket.plain_username = user.encode()
        self.socket.plain_password = (facts["key"] if key is None else key).encode()
        self.socket.connect(f"tcp://127.0.0.1:{facts['port']}")
        self.ids = itertools.count(1)

    def send(self, header: dict[str, Any], *frames: Any) -> int:
        """Sends a map with a new id, unless it has one, and frames."""
        header = {"id": next(self.ids), **header}
        self.send_raw(msgpack.packb(header), *frames)
        return int(header["id"])

    def send_raw(self, *frames: Any) -> None:
        """Sends frames as they are. Raises TimeoutError where nobody takes them: the backend has refused this peer."""
        try:
            self.socket.send_multipart(frames, copy=False)
        except zmq.Again:
            raise TimeoutError from None

    def receive(self, timeout_s: float = 60) -> tuple[dict[str, Any], list[bytes]]:
        """The next reply. Raises TimeoutError."""
        if not self.socket.poll(timeout_s * 1000):
            raise TimeoutError
        header, *frames = self.socket.recv_multipart()
        return msgpack.unpackb(header), frames

    def ask(self, header: dict[str, Any], *frames: Any) -> dict[str, Any]:
        """The last reply to a request; progress is passed over."""
        return self.until_end(self.send(header, *frames))[-1]

    def until_end(self, *ids: int) -> list[dict[str, Any]]:
        """All replies that come until each of some requests has had its last."""
        replies, left = [], set(ids)
        while left:
            reply, _ = self.receive()
            replies.append(reply)
            if reply["op"] != "progress":
                left.discard(reply["id"])
        return replies

    def close(self) -> None:
        """Ends the connection at once."""
        self.context.destroy(linger=0)


def proof(facts: dict[str, Any]) -> bytes:
    """What a backend must answer to NONCE."""
    return hmac.digest(bytes.fromhex(facts["proof_key"]), NONCE, hashlib.sha256)


def await_that(condition: Callable[[], object], timeout_s: float = 60) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def harmonize_header(layer: np.ndarray, reference: np.ndarray, **options: Any) -> dict[str, Any]:
    """The map of a request with an 8-bit layer and a reference that shows the canvas at its own size."""
    height, width, channels = layer.shape
    kind = {"depth": "u8", "space": "srgb"}
    size = {"width": reference.shape[1], "height": reference.shape[0]}
    return {
        "op": "harmonize",
        "layer": {"width": width, "height": height, "channels": channels, **kind, "x": 150, "y": 200},
        "reference": {**size, "canvas_width": size["width"], "canvas_height": size["height"], "channels": 3, **kind},
        "options": options,
    }
