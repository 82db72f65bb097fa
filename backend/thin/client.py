"""The client that plug-ins use. It finds or starts the backend and sends it requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import connection
from .conversation import Conversation, OnProgress
from .protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, INTERNAL, TRIMS, UNSUPPORTED, NoAnswerError, ThinError
from .request import build_request

STARTING = "starting"
READY = "ready"
"""States for `on_state`: a backend is being started, which takes seconds; the backend has proved its identity."""

HELLO_S = 10.0
"""Time for a running backend to answer; it may be busy importing modules."""
LOOK_S = 3.0
"""The same while a backend is starting, when the connection file may be an old one."""
START_S = 60.0
"""Time from a backend's start to its first answer."""
ANSWER_S = 10.0
"""Time for an answer to `status` and `shutdown`."""


class ThinClient:
    """A client of the backend. All of its methods block. Use it from one thread at a time.

    Create it with `connect`. If the connection is lost, the next request opens a new one.
    Every failure is a ThinError, including the errors that the backend sends.
    """

    def __init__(
        self,
        start: bool,
        client: tuple[str, str],
        on_state: Callable[[str], object] | None,
        command: Sequence[str] | None,
    ) -> None:
        self._start = start
        self._client = client
        self._on_state = on_state
        self._command = command
        self._conversation: Conversation | None = None

    @classmethod
    def connect(
        cls,
        start: bool = True,
        client: tuple[str, str] = ("unnamed", ""),
        on_state: Callable[[str], object] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        command: Sequence[str] | None = None,
    ) -> ThinClient:
        """Return a client with an open connection.

        start: whether to start a backend if none answers, now and before later requests.
        client: the host's name and version.   on_state: called with STARTING and READY, also later.
        is_cancelled: called while a backend starts; True raises `cancelled`.
        command: command that starts a backend; None for the recorded or found `gknet` command.
        Raise ThinError: `backend_unavailable`; `unauthorized` if a backend rejects the connection file's key and
        `start` is False; `unsupported` if the backend speaks another version of the protocol; `cancelled`.
        """
        connected = cls(start, client, on_state, command)
        connected._open_conversation(start, is_cancelled)
        return connected

    def __enter__(self) -> ThinClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def backend(self) -> dict[str, Any]:
        """The backend's answer to the last `hello`: `version`, `device`, `models`, `limits`, ..."""
        return self._conversation.backend if self._conversation is not None else {}

    def harmonize(
        self,
        layer: Mapping[str, Any],
        layer_bytes: bytes | bytearray | memoryview,
        reference: Mapping[str, Any] | None = None,
        reference_bytes: bytes | bytearray | memoryview | None = None,
        selection: bytes | bytearray | memoryview | None = None,
        options: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        again: bool = True,
        into: bytearray | None = None,
    ) -> tuple[dict[str, Any], bytearray]:
        """Return the backend's `result` and the harmonized layer's pixels, in the format of the layer's.

        layer, reference, options: as in the protocol's `harmonize`.   selection: one byte per pixel of the layer.
        The bytes must not change before this returns.
        on_progress: called with stage, done, total and a text for the user.
        is_cancelled: called about every 50 ms; True cancels the request.
        again: whether to start the backend and repeat the request once if the connection is lost. It is not repeated
        if the answer has begun to arrive in `into`.
        into: memory for the answer's pixels, which may be the layer's own.
        Raise ThinError: `cancelled`; `bad_request` and `too_large`, before sending if sizes are wrong; `backend_lost`
        if the connection is lost (twice with `again`); `backend_unavailable`; `internal`; `out_of_memory`; and any
        other error from the backend.
        """
        fields, frames = build_request(
            layer, layer_bytes, reference, reference_bytes, selection, options, self.backend.get("limits")
        )
        while True:
            conversation = self._open_conversation(self._start, is_cancelled)
            _check_knows_options(conversation.backend, options)
            try:
                result, answered = conversation.ask(
                    "harmonize",
                    fields,
                    frames,
                    largest=len(frames[0]),
                    into=into,
                    on_progress=on_progress,
                    is_cancelled=is_cancelled,
                )
            except ThinError as error:
                if error.code != BACKEND_LOST or not again or conversation.has_overwritten:
                    raise
                again = False
                continue
            alike = all(result.get(name) == layer[name] for name in ("width", "height", "channels", "depth"))
            if not alike or len(answered) != 1 or len(answered[0]) != len(frames[0]):
                raise ThinError(INTERNAL, "The backend's answer does not match the layer.")
            return result, answered[0]

    def status(self) -> dict[str, Any]:
        """Return the backend's `status`. Raise ThinError: `backend_unavailable` if none is running. Never start one."""
        status, _ = self._open_conversation(False, None).ask("status", {}, timeout_s=ANSWER_S)
        return status

    def shutdown(self) -> None:
        """Stop the backend. Raise ThinError: `backend_unavailable` if none is running. Never start one."""
        try:
            self._open_conversation(False, None).ask("shutdown", {}, timeout_s=ANSWER_S)
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection. The backend keeps running, and a later request opens a new connection."""
        if self._conversation is not None:
            self._conversation.close()

    def _open_conversation(self, start: bool, is_cancelled: Callable[[], bool] | None) -> Conversation:
        if self._conversation is not None and self._conversation.is_open():
            return self._conversation
        path = connection.find_connection_path()
        try:
            self._conversation = self._connect(path, HELLO_S)
        except NoAnswerError:
            if not start:
                raise
            self._report_state(STARTING)
            self._conversation = connection.start_backend(
                lambda: self._try_connect(path),
                path,
                timeout_s=START_S,
                is_cancelled=is_cancelled,
                command=self._command,
            )
        self._report_state(READY)
        return self._conversation

    def _try_connect(self, path: Path) -> Conversation | None:
        try:
            return self._connect(path, LOOK_S)
        except NoAnswerError:
            return None

    def _connect(self, path: Path, timeout_s: float) -> Conversation:
        address = connection.read_connection_file(path)
        if address is None:
            raise NoAnswerError(BACKEND_UNAVAILABLE, "No backend is running.", "Start it with `gknet serve`.")
        return Conversation(address, self._client, timeout_s=timeout_s)

    def _report_state(self, state: str) -> None:
        if self._on_state is not None:
            self._on_state(state)


def _check_knows_options(backend: Mapping[str, Any], options: Mapping[str, Any] | None) -> None:
    """Raise ThinError, `unsupported`, for options that an older backend would silently ignore."""
    options = options or {}
    if any(options.get(name) for name in TRIMS) and backend["protocol"] < [1, 1]:
        raise _make_old_error("brightness, warmth and saturation")
    if options.get("variant") not in (None, 1) and backend["protocol"] < [1, 2]:
        raise _make_old_error("choosing a version")


def _make_old_error(wanted: str) -> ThinError:
    return ThinError(
        UNSUPPORTED,
        f"The backend is too old for {wanted}.",
        "Update it, stop it with `gknet stop`, and try again.",
    )
