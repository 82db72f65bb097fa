"""A client's connection with one backend: a DEALER that notices at once when the backend goes away."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from backend.thin import protocol
from backend.thin.connection import Address
from backend.thin.protocol import BackendError

_HEARTBEAT_MS = 5_000
_HEARTBEAT_TIMEOUT_MS = 30_000
"""A backend that is stopped, not ended, is given up after this; a long frame may take its time."""
_NEVER_MS = 10**9
"""Until libzmq connects again by itself, which it must not: who listens then has proved nothing. Told never to (-1), it
would throw away what arrived just before the end."""
_STRAGGLERS_MS = 100
"""What arrived before the end may still be on its way through libzmq."""
_LOST = zmq.Event.DISCONNECTED | zmq.Event.CLOSED | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
_REFUSED = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL

Reply = tuple[dict[str, Any], list[Any]]
"""A reply's map, and its frames of pixels as memoryviews."""


class Link:
    """An open connection whose other end has proved that it is the connection file's backend.

    address: what the file says.   timeout_s: for connecting and `hello`.   client: its `name` and `version`.
    Raises BackendError (`backend_unavailable`) if nobody answers, or somebody else.
    """

    def __init__(self, address: Address, timeout_s: float, client: Mapping[str, str]) -> None:
        self._ended = False
        self._ids = itertools.count(1)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.plain_username = protocol.USER
        self._socket.plain_password = address.key
        self._socket.maxmsgsize = protocol.MAX_FRAME
        self._socket.heartbeat_ivl = _HEARTBEAT_MS
        self._socket.heartbeat_timeout = _HEARTBEAT_TIMEOUT_MS
        self._socket.reconnect_ivl = _NEVER_MS
        self._monitor = self._socket.get_monitor_socket(_LOST | _REFUSED)
        self._monitor.linger = 0
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        try:
            self._socket.connect(f"tcp://{address.host}:{address.port}")
            self.hello = self._say_hello(address, timeout_s, client)
        except BackendError as error:
            self.close()
            if error.code == protocol.BACKEND_LOST:
                raise _unavailable() from error
            raise
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether the backend is still there."""
        if not self._ended and self._monitor.poll(0):
            recv_monitor_message(self._monitor)
            self._ended = True
        return not self._ended

    def send(self, header: Mapping[str, Any], pixels: Sequence[Any] = ()) -> int:
        """Sends a request and returns its id. Pixels, C-contiguous arrays, are not copied: leave them alone.

        Raises BackendError: `backend_lost` when the backend has gone or takes no more, `bad_request`.
        """
        message_id = next(self._ids)
        frames = [_packed({**header, "id": message_id}), *pixels]
        if not self.is_open:
            raise _lost()
        try:
            self._socket.send_multipart(frames, zmq.DONTWAIT, copy=False)
        except zmq.Again:  # a refused connection ends before its monitor can say so
            self._ended = True
            raise _lost() from None
        return message_id

    def receive(self, message_id: int, timeout_s: float | None = None) -> Reply:
        """The next reply to a request; replies to others, given up before, are dropped.

        Raises the BackendError that the reply says, `backend_lost` when the backend has gone, TimeoutError.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if deadline is None else math.ceil((deadline - time.monotonic()) * 1e3)
            if left is not None and left <= 0:
                raise TimeoutError
            ready = dict(self._poller.poll(_STRAGGLERS_MS if self._ended else left))
            if self._socket in ready:
                header, pixels = _reply(self._socket.recv_multipart(copy=False))
                if header.get("id") != message_id:
                    continue
                if header["op"] == "error":
                    raise BackendError(header["code"], header["message"], header["hint"])
                return header, pixels
            if self._ended:
                raise _lost()
            if self._monitor in ready:
                recv_monitor_message(self._monitor)
                self._ended = True

    def close(self) -> None:
        """Ends the connection; what is unsent is dropped."""
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()
        self._context.term()

    def _say_hello(self, address: Address, timeout_s: float, client: Mapping[str, str]) -> dict[str, Any]:
        nonce = secrets.token_bytes(32)
        header = {"op": "hello", "protocol": protocol.PROTOCOL, "client": client, "nonce": nonce}
        try:
            reply, _ = self.receive(self.send(header), timeout_s)
        except TimeoutError:
            raise _unavailable() from None
        proof = hmac.digest(address.proof_key, nonce, hashlib.sha256)
        said = reply.get("proof")
        if not isinstance(said, bytes) or not hmac.compare_digest(said, proof):
            raise _unavailable()
        return reply


def _packed(header: Mapping[str, Any]) -> bytes:
    try:
        packed: bytes = msgpack.packb(header, default=lambda value: value.item())  # a number of numpy's
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BackendError(
            protocol.BAD_REQUEST, f"An argument cannot be sent: {error}.", "Use plain numbers."
        ) from error
    return packed


def _reply(frames: list[zmq.Frame]) -> Reply:
    """A reply taken apart."""
    try:
        header = msgpack.unpackb(frames[0].buffer)
    except Exception as error:  # msgpack: "Other exceptions can be raised during unpacking"
        raise BackendError(protocol.INTERNAL, "The backend's answer cannot be read.", "Update both.") from error
    return header, [frame.buffer for frame in frames[1:]]


def _lost() -> BackendError:
    return BackendError(protocol.BACKEND_LOST, "The backend went away.", "Try again: it is started anew.")


def _unavailable() -> BackendError:
    return BackendError(protocol.BACKEND_UNAVAILABLE, "The backend does not answer.", "Start it with `gknet serve`.")
