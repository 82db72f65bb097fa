"""A ZeroMQ DEALER in plain Python: the client's end of one ZMTP 3 connection over TCP, mechanism PLAIN.

Implements the public specifications of ZMTP 3.0 and 3.1 (RFC 23 and 37). It does not reconnect and has no background
thread: data is sent and received only while a caller waits in `receive` or `send`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, UNAUTHORIZED, ThinError

_Arrival = TypeVar("_Arrival")

_MORE, _LONG, _COMMAND = 1, 2, 4
_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_GREETING = _SIGNATURE + b"\x03\x01" + b"PLAIN".ljust(20, b"\0") + bytes(32)
_GREETED = b"the greeting"
"""Represents the peer's greeting among the commands of the handshake, although it is not a command."""
_MAX_COMMAND = 64 * 1024
_JOINED = 64 * 1024
"""Frames up to this many bytes are copied into one buffer with their predecessors; larger ones are sent uncopied."""
_AT_ONCE = 1024 * 1024
"""Maximum bytes passed to the system in one call, so that no call takes long."""
_MAX_UNSENT = 256
"""Maximum unsent pieces; above it, PINGs are not answered, because the peer doesn't read the answers."""

# A write to a closed connection must fail and not kill the host with SIGPIPE, which it may not ignore.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_SO_NOSIGPIPE = 0x1022  # macOS's constant, which Python does not define

# Unlike select, poll has no limit on file descriptors, and a host may have a thousand of them open.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Connection:
    """One connection to a ROUTER, opened and authenticated on creation.

    host, port: the ROUTER's address.   user, password: for PLAIN, at most 255 bytes each.
    timeout_s: for opening and authenticating.   max_frame: maximum bytes of a frame, max_frames: maximum frames of a
    message. A peer that announces more is disconnected before memory is allocated. Both may be changed later, and then
    apply to frames that have not begun to arrive.

    One thread may call `receive` while another calls `send`. Call `post`, `ping` and `close` on the receiving thread.

    Raise ThinError: `unauthorized` if the peer rejects the password, `backend_unavailable` if nothing listens or the
    peer is not a ROUTER with PLAIN. Once open, `send` and `receive` raise `backend_lost` if the connection has ended;
    it must still be closed.
    """

    def __init__(
        self, host: str, port: int, user: bytes, password: bytes, *, timeout_s: float, max_frame: int, max_frames: int
    ) -> None:
        self.max_frame = max_frame
        self.max_frames = max_frames
        self.target_buffer: bytearray | None = None
        """Memory for the next frame of pixels of exactly this size; None as soon as it begins to arrive. It is not used
        while anything is unsent, because that may be in the same memory."""
        self.last_heard = time.monotonic()
        """When the peer last sent a byte, or accepted one after it had accepted none for a while."""
        self.can_ping = False
        self._name = f"port {port} of {host}"
        self._open = False
        self._lock = threading.Lock()  # over _unsent and the socket's sending side
        self._unsent: deque[memoryview] = deque()
        self._stuck = False  # the system accepted no bytes at the last attempt
        self._commands: deque[bytes] = deque()  # of the handshake
        self._messages: deque[list[bytearray]] = deque()
        self._incoming = self._parse_incoming()
        deadline = time.monotonic() + timeout_s
        self._socket = self._connect(host, port, timeout_s)
        try:
            self._unfilled = next(self._incoming)
            self._shake_hands(user, password, deadline)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, TimeoutError):
                raise ThinError(
                    BACKEND_UNAVAILABLE,
                    f"The program at {self._name} did not answer in time.",
                    "If it is the backend, end its process and try again.",
                ) from error
            raise
        self._open = True

    def post(self, frames: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queue a message to be sent by later calls of `receive` and `send`. Never block.

        Large frames are not copied: don't change them until `has_unsent` is False.
        """
        listed = list(frames)
        self._queue([(_MORE, frame) for frame in listed[:-1]] + [(0, listed[-1])])

    @property
    def has_unsent(self) -> bool:
        """Whether part of the posted messages has not been passed to the system yet."""
        return bool(self._unsent)

    def send(self, frames: Iterable[bytes | bytearray | memoryview], timeout_s: float) -> None:
        """Send a message and everything posted before.

        Raise TimeoutError if the peer has not accepted all of it in time; the rest is sent later, as after `post`.
        """
        self.post(frames)
        deadline = time.monotonic() + timeout_s
        while self._unsent:
            if not self._write() or (self._unsent and time.monotonic() >= deadline):
                self._wait(selectors.EVENT_WRITE, deadline)
        if self._socket.fileno() < 0:
            raise self._end_with_error("was disconnected in the middle of a message")

    def receive(self, timeout_s: float) -> list[bytearray]:
        """Return the next message's frames. Meanwhile send posted messages and answer PINGs.

        Raise TimeoutError if no message was complete in time; an incomplete one is kept for the next call.
        """
        return self._await_arrival(self._messages, time.monotonic() + timeout_s)

    def ping(self) -> None:
        """Queue a PING after the posted messages. Do nothing if the peer's ZMTP version has no PING (`can_ping`)."""
        if self.can_ping:
            self._post_command(b"PING", bytes(2))

    def close(self) -> None:
        """Close the connection, even if it has already ended, and drop unsent data."""
        with self._lock:
            self._socket.close()
            self._unsent.clear()

    def _connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        opened = None
        try:
            opened = socket.create_connection((host, port), timeout=timeout_s)
            # TCP lets a socket connect to itself if the system picks the target's port for it.
            if opened.getsockname() == opened.getpeername():
                raise ConnectionRefusedError("it connected to itself")
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "darwin":
                opened.setsockopt(socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)
            opened.setblocking(False)
        except OSError as error:
            if opened is not None:
                opened.close()
            raise ThinError(BACKEND_UNAVAILABLE, f"Nothing answers at {self._name} ({error}).") from error
        return opened

    def _shake_hands(self, user: bytes, password: bytes, deadline: float) -> None:
        self._unsent.append(memoryview(_GREETING))
        self._expect(_GREETED, deadline)  # send the password only to a peer that asks for one
        self._post_command(b"HELLO", bytes([len(user)]) + user + bytes([len(password)]) + password)
        self._expect(b"WELCOME", deadline)
        self._post_command(b"INITIATE", b"\x0bSocket-Type\0\0\0\x06DEALER")
        self._expect(b"READY", deadline)

    def _expect(self, name: bytes, deadline: float) -> None:
        command = self._await_arrival(self._commands, deadline)
        if _read_name(command) == b"ERROR" or command.startswith(b"^RROR"):  # libzmq 4.3's PLAIN sends the second form
            raise ThinError(UNAUTHORIZED, f"The program at {self._name} rejected the key.")
        if _read_name(command) != name:
            raise self._end_with_error("violates ZeroMQ's protocol")

    def _await_arrival(self, arrived: deque[_Arrival], deadline: float) -> _Arrival:
        """Return the next item of a queue, reading and writing meanwhile. Raise TimeoutError or ThinError."""
        while not arrived:
            read, wrote = self._read(), self._write()
            late = time.monotonic() >= deadline and not arrived
            if late or not (read or wrote or arrived):
                self._wait(selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0), deadline)
        return arrived.popleft()

    def _wait(self, events: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("The operation timed out.")
        with _Selector() as selector:
            try:
                selector.register(self._socket, events)
            except (ValueError, OSError) as error:
                raise self._end_with_error("is no longer connected") from error
            selector.select(left)

    def _write(self) -> bool:
        """Pass data to the system once. Return False if it accepted none."""
        with self._lock:
            if not self._unsent:
                return False
            piece = self._unsent[0]
            try:
                count = self._socket.send(piece[:_AT_ONCE], _NO_SIGNAL)
            except BlockingIOError:
                self._stuck = True
                return False
            except OSError as error:
                raise self._end_with_error("closed the connection") from error
            if self._stuck:  # if the system only buffers bytes, that says nothing about the peer
                self._stuck = False
                self.last_heard = time.monotonic()
            if count == len(piece):
                self._unsent.popleft()
            else:
                self._unsent[0] = piece[count:]
            return True

    def _read(self) -> bool:
        """Read arrived data once. Return False if there is none."""
        try:
            count = self._socket.recv_into(self._unfilled)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._end_with_error("closed the connection") from error
        if count == 0:
            raise self._end_with_error("closed the connection")
        self.last_heard = time.monotonic()
        self._unfilled = self._unfilled[count:]
        if not self._unfilled:
            self._unfilled = next(self._incoming)
        return True

    def _parse_incoming(self) -> Iterator[memoryview]:
        """Yield the buffers to fill with incoming data, one after another. Each is full when the next is requested.

        A generator keeps its state in the middle of a frame for as long as it takes.
        """
        greeting = bytearray(len(_GREETING))
        yield memoryview(greeting)[:10]
        if greeting[0] != 0xFF or not greeting[9] & 1:
            raise self._end_with_error("does not speak ZeroMQ")
        yield memoryview(greeting)[10:11]
        if greeting[10] != 3:
            raise self._end_with_error(f"speaks version {greeting[10]} of ZeroMQ's protocol instead of 3")
        yield memoryview(greeting)[11:]
        if greeting[12:32].rstrip(b"\0") != b"PLAIN":
            raise self._end_with_error("is a ZeroMQ server that does not expect a key")
        self.can_ping = greeting[11] >= 1
        self._commands.append(bytes([len(_GREETED)]) + _GREETED)
        frames: list[bytearray] = []
        head = bytearray(9)
        while True:
            yield memoryview(head)[:2]
            flags, size = head[0], head[1]
            if flags & _LONG:
                yield memoryview(head)[2:]
                size = int.from_bytes(head[1:], "big")
            self._check_frame(flags, size, len(frames))
            body = self._allocate_frame(size) if frames else bytearray(size)
            if size:
                yield memoryview(body)
            if flags & _COMMAND:
                self._handle_command(bytes(body))
            else:
                frames.append(body)
                if not flags & _MORE:
                    self._messages.append(frames)
                    frames = []
            del body  # don't keep a whole layer in memory until the next frame

    def _allocate_frame(self, size: int) -> bytearray:
        """Return the buffer for a frame after a message's first one."""
        if self.target_buffer is None or len(self.target_buffer) != size or self._unsent:
            return bytearray(size)
        place, self.target_buffer = self.target_buffer, None
        return place

    def _check_frame(self, flags: int, size: int, frames: int) -> None:
        if flags & ~(_MORE | _LONG | _COMMAND) or (flags & _COMMAND and flags & _MORE):
            raise self._end_with_error("violates ZeroMQ's protocol")
        if size > (_MAX_COMMAND if flags & _COMMAND else self.max_frame):
            raise self._end_with_error(f"announced a frame of {size} bytes, which is too large")
        if not flags & _COMMAND:
            if not self._open:
                raise self._end_with_error("sent a message before the handshake was complete")
            if frames >= self.max_frames:
                raise self._end_with_error(f"sent a message of more than {self.max_frames} frames")

    def _handle_command(self, command: bytes) -> None:
        if not self._open:
            self._commands.append(command)
        elif _read_name(command) == b"PING" and len(self._unsent) < _MAX_UNSENT:
            self._post_command(b"PONG", command[7:23])  # before it is the time to live

    def _post_command(self, name: bytes, data: bytes) -> None:
        self._queue([(_COMMAND, bytes([len(name)]) + name + data)])

    def _queue(self, frames: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> None:
        pieces = list(_split_frames(frames))
        with self._lock:  # only whole messages: another thread's data must not come between frames
            self._unsent.extend(pieces)

    def _end_with_error(self, what: str) -> ThinError:
        """End the connection and return the error to raise. Don't close the socket: another thread may wait for it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._open:
            return ThinError(BACKEND_LOST, f"The backend {what}.", "Try again. Its log may show the reason.")
        return ThinError(BACKEND_UNAVAILABLE, f"The program at {self._name} {what}.")


def _split_frames(frames: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> Iterator[memoryview]:
    """Yield frames preceded by their flags as sent: small ones joined, large ones uncopied."""
    run = bytearray()
    for flags, frame in frames:
        body = memoryview(frame).cast("B")
        run += bytes([flags, len(body)]) if len(body) < 256 else bytes([flags | _LONG]) + len(body).to_bytes(8, "big")
        if len(body) <= _JOINED:
            run += body
        else:
            yield memoryview(run)
            yield body
            run = bytearray()
    if run:
        yield memoryview(run)


def _read_name(command: bytes) -> bytes:
    return command[1 : 1 + command[0]] if command else b""
