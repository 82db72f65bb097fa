"""Requests and answers over one connection to a backend that has proved its identity."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import wire, zmtp
from .connection import Address
from .protocol import (
    BACKEND_LOST,
    BACKEND_UNAVAILABLE,
    CANCELLED,
    INTERNAL,
    MAX_HEADER,
    MAX_PROFILE,
    OUT_OF_MEMORY,
    PROTOCOL,
    UNSUPPORTED,
    USER,
    NoAnswerError,
    ThinError,
)

POLL_S = 0.05
"""Interval between calls of `is_cancelled`."""
PING_AFTER_S = 1.0
LOST_AFTER_S = 10.0
"""Seconds without data while waiting: after the first, a PING is sent, which ZeroMQ answers however busy the backend
is; after the second, the backend counts as lost."""
CANCEL_S = 5.0
"""Time for a cancelled request to end; then the connection is closed, and the backend drops the request."""

_MAX_STEP_S = 0.25
_MAX_TEXT = 2000
_END_IT = "Try again in a moment, or end its process."
_CANCELLED = {"code": CANCELLED, "message": "Cancelled."}
_UNANSWERED = {"code": BACKEND_LOST, "message": "The backend does not answer.", "hint": _END_IT}
_ANSWERS = {"hello": "hello", "harmonize": "result", "status": "status", "shutdown": "bye"}

OnProgress = Callable[[str, int, int, str], object]


class Conversation:
    """An open connection to a backend that has answered `hello`. Use it from one thread at a time.

    client: the host's name and version.   timeout_s: for connecting and `hello` together.
    backend: the answer to `hello`.

    Only `hello` is sent before the backend's proof has been verified.
    Raise NoAnswerError (`backend_unavailable`, or `unauthorized` if the key is rejected), or ThinError `unsupported`
    if the two speak incompatible versions of the protocol.
    """

    def __init__(self, address: Address, client: tuple[str, str], *, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._ids = itertools.count(1)
        try:
            self._link = zmtp.Connection(
                address.host,
                address.port,
                USER,
                address.key,
                timeout_s=timeout_s,
                max_frame=MAX_HEADER,
                max_frames=2,
            )
            self.backend = self._introduce(address.proof_key, client, deadline - time.monotonic())
        except ThinError as error:
            if error.code == UNSUPPORTED:
                raise
            code = BACKEND_UNAVAILABLE if error.code == BACKEND_LOST else error.code
            raise NoAnswerError(code, error.message, error.hint or "Start the backend with `gknet serve`.") from error

    def ask(
        self,
        op: str,
        fields: Mapping[str, Any],
        frames: Sequence[memoryview] = (),
        *,
        largest: int = 0,
        into: bytearray | None = None,
        timeout_s: float = math.inf,
        on_progress: OnProgress | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> tuple[dict[str, Any], list[bytearray]]:
        """Send a request and return the final answer's map and frames.

        largest: maximum bytes of a frame in the answer.   timeout_s: time for the final answer.
        into: memory for a frame of exactly this size, used once the whole request is sent (`has_overwritten`).
        on_progress: called with stage, done, total, text.   is_cancelled: called about every 50 ms. Their exceptions
        are passed on.
        Raise ThinError: errors from the backend; `cancelled`; `backend_lost` if the connection ends, is silent or the
        answer is late; `internal` if the answer is not valid; `out_of_memory`.
        Everything but an answer closes the connection.
        """
        number = next(self._ids)
        request = wire.pack({**fields, "op": op, "id": number}, MAX_HEADER + MAX_PROFILE)
        self._link.max_frame = max(MAX_HEADER, largest)
        self._into = self._link.target_buffer = into
        try:
            self._link.post([request, *frames])
            header, answered = self._await(number, time.monotonic() + timeout_s, on_progress, is_cancelled)
            if header["op"] not in (_ANSWERS[op], "error"):
                raise _make_answer_error(f"{op} was answered with {header['op'][:40]!r}")
        except BaseException:  # including those of `on_progress` and `is_cancelled`
            self.close()
            raise
        if header["op"] == "error":
            raise ThinError(
                _get_text(header, "code") or INTERNAL, _get_text(header, "message"), _get_text(header, "hint")
            )
        return header, answered

    @property
    def has_overwritten(self) -> bool:
        """Whether a frame of the last answer arrived in `into`, completely or in part."""
        return self._into is not None and self._link.target_buffer is None

    def is_open(self) -> bool:
        """Return whether the connection is open. Discard messages that arrived since the last answer."""
        try:
            while True:
                self._link.receive(0.001)
        except TimeoutError:
            return True
        except ThinError:
            self.close()
            return False

    def close(self) -> None:
        """Close the connection; the backend drops its requests."""
        self._link.close()

    def _introduce(self, proof_key: bytes, client: tuple[str, str], timeout_s: float) -> dict[str, Any]:
        nonce = secrets.token_bytes(32)
        hello = {"protocol": list(PROTOCOL), "client": {"name": client[0], "version": client[1]}, "nonce": nonce}
        try:
            backend, _ = self.ask("hello", hello, timeout_s=timeout_s)
        except ThinError as error:
            self.close()
            if error.code in (UNSUPPORTED, BACKEND_LOST):
                raise
            raise ThinError(
                BACKEND_UNAVAILABLE, f"The program that answers is not a backend: {error.message}"
            ) from error
        proof, spoken = backend.get("proof"), backend.get("protocol")
        expected = hmac.new(proof_key, nonce, hashlib.sha256).digest()
        if not isinstance(proof, bytes) or not hmac.compare_digest(proof, expected):
            self.close()
            raise ThinError(
                BACKEND_UNAVAILABLE, "The program that answers is not the backend that wrote the connection file."
            )
        if not isinstance(spoken, list) or not spoken or spoken[0] != PROTOCOL[0]:
            self.close()
            raise ThinError(
                UNSUPPORTED,
                f"The backend speaks version {spoken} of the protocol, this program {list(PROTOCOL)}.",
                "Install the same version of GKNet Harmonize for both.",
            )
        return backend

    def _await(
        self, number: int, deadline: float, on_progress: OnProgress | None, is_cancelled: Callable[[], bool] | None
    ) -> tuple[dict[str, Any], list[bytearray]]:
        heartbeat = _Heartbeat(self._link)
        cancelling = False
        while True:
            if not cancelling and is_cancelled is not None and is_cancelled():
                cancelling = True
                deadline = time.monotonic() + CANCEL_S
                self._link.post([wire.pack({"op": "cancel", "id": next(self._ids), "request": number})])
            if time.monotonic() >= deadline:
                raise ThinError(**(_CANCELLED if cancelling else _UNANSWERED))
            heartbeat.check()
            try:
                packed, *frames = self._link.receive(POLL_S)
            except TimeoutError:
                continue
            except MemoryError as error:
                raise ThinError(OUT_OF_MEMORY, "There is not enough memory to receive the answer.") from error
            header = _read_header(packed)
            if header["id"] != number:
                continue  # an answer to a cancel, or a late one
            if header["op"] != "progress":
                return (header, frames) if not cancelling else ({"op": "error", **_CANCELLED}, [])
            if on_progress is not None:
                stage, done, total, text = (header.get(name) for name in ("stage", "done", "total", "text"))
                on_progress(str(stage), _get_count(done), _get_count(total), str(text or "")[:_MAX_TEXT])


class _Heartbeat:
    """Measures how long the backend has been silent while we listened.

    Each step counts for at most a quarter of a second, so that a suspended computer or host doesn't count as silence.
    """

    def __init__(self, link: zmtp.Connection) -> None:
        self._link = link
        self._heard = link.last_heard
        self._looked = time.monotonic()
        self._quiet_s = 0.0
        self._pinged_s = 0.0

    def check(self) -> None:
        """Send a PING if one is due. Raise ThinError (`backend_lost`) if the silence has lasted too long."""
        now = time.monotonic()
        self._quiet_s += min(now - self._looked, _MAX_STEP_S)
        self._looked = now
        if self._link.last_heard != self._heard or not self._link.can_ping:
            self._heard = self._link.last_heard
            self._quiet_s = self._pinged_s = 0.0
        if self._quiet_s >= LOST_AFTER_S:
            raise ThinError(BACKEND_LOST, "The backend has stopped responding.", "Stop it with `gknet stop`.")
        if self._quiet_s - self._pinged_s >= PING_AFTER_S:
            self._pinged_s = self._quiet_s
            self._link.ping()


def _read_header(packed: bytearray) -> dict[str, Any]:
    try:
        header = wire.unpack(packed)
    except ThinError as error:
        raise _make_answer_error(error.message) from error
    if type(header.get("id")) is not int or not isinstance(header.get("op"), str):
        raise _make_answer_error("a message has no op and id")
    return header


def _get_text(header: Mapping[str, Any], name: str) -> str:
    value = header.get(name)
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _get_count(value: object) -> int:
    return value if type(value) is int else 0


def _make_answer_error(reason: str) -> ThinError:
    return ThinError(INTERNAL, f"The backend's answer is not valid: {reason}.")
