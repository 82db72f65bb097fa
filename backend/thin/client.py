"""The client that plug-ins use: finds the backend or starts it, and asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import connection
from .conversation import Conversation, OnProgress
from .protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, INTERNAL, NoAnswerError, ThinError
from .request import build_request

STARTING = "starting"
READY = "ready"
"""States for `on_state`: a backend is being started, which takes seconds; one has answered and proved itself."""

HELLO_S = 10.0
"""Until a backend that should be there has answered; it may be busy with importing."""
LOOK_S = 3.0
"""The same while one is starting: what is looked at may be an old connection file."""
START_S = 60.0
"""From a backend's start to its first answer."""
ANSWER_S = 10.0
"""Until `status` and `shutdown` are answered."""


class ThinClient:
    """A client of the backend. All of its methods block, and one thread at a time may call them.

    Made by `connect`. The connection may end at any time: each request opens a new one if need be.
    Every failure is a ThinError; those that the backend answers come through as they are.
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
        """A client with an open connection.

        start: whether to start a backend where none answers, now and before later requests.
        client: the host's name and version.   on_state: called with STARTING and READY, later too.
        is_cancelled: asked while a backend starts; True raises `cancelled`.
        command: words that start a backend, None for the `gknet` command that was recorded, or is found.
        Raises ThinError: `backend_unavailable`; `unauthorized` if a backend refuses the connection file's key and
        none is to be started; `unsupported` if the backend speaks another version of the protocol; `cancelled`.
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
        """What the backend said of itself when it was last met: `version`, `device`, `models`, `limits`, ..."""
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
        """The backend's `result` and the harmonized layer's pixels: as many bytes as were given, of the same kind.

        layer, reference, options: as in the protocol's `harmonize`.   selection: one byte a pixel of the layer.
        The bytes must not change before this returns.
        on_progress: called with stage, done, total and a text for the user.   is_cancelled: asked about every 50 ms; True
        cancels the request.   again: if the backend goes away, start it and ask it once more, unless the answer had
        begun to arrive in `into`: memory for the answer's pixels, which may be the layer's own.
        Raises ThinError: `cancelled`; `bad_request`, `too_large` (nothing was sent then, if the sizes are wrong) and
        whatever else the backend answers; `backend_lost` when it went away, for the second time with `again`;
        `backend_unavailable`; `internal`, `out_of_memory`.
        """
        fields, frames = build_request(
            layer, layer_bytes, reference, reference_bytes, selection, options, self.backend.get("limits")
        )
        while True:
            conversation = self._open_conversation(self._start, is_cancelled)
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
                raise ThinError(INTERNAL, "The backend's answer does not fit the layer.")
            return result, answered[0]

    def status(self) -> dict[str, Any]:
        """The backend's `status`.  Raises ThinError (`backend_unavailable` if none runs; none is started)."""
        status, _ = self._open_conversation(False, None).ask("status", {}, timeout_s=ANSWER_S)
        return status

    def shutdown(self) -> None:
        """End the backend.  Raises ThinError (`backend_unavailable` if none runs; none is started)."""
        try:
            self._open_conversation(False, None).ask("shutdown", {}, timeout_s=ANSWER_S)
        finally:
            self.close()

    def close(self) -> None:
        """End the connection. The backend goes on; a later request opens a new connection."""
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
