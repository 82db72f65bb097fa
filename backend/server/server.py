"""The socket loop: admits, queues, answers and forgets. It never waits for the worker, so it answers at once."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import psutil
import zmq

import gknet
from backend.server import connection, requests
from backend.server.access import DOMAIN, Gate
from backend.server.answers import UNREAD, Answers
from backend.server.connection import Connection
from backend.server.requests import Cancel, Harmonize, Hello, Shutdown, Status
from backend.server.waiting import Waiting
from backend.server.worker import Done, Job, Progress, Report, Worker
from backend.thin import protocol
from backend.thin.protocol import BackendError

_log = logging.getLogger(__name__)

_TICK_S = 1.0
"""Between two words to those who wait; one of them who has gone is noticed then."""
_LAST_WORK_S = 5.0
"""What a request in hand has to stop when the backend ends."""
_LAST_ANSWERS_MS = 2000
"""What is left to the last answers when the backend ends."""
_AT_ONCE = 32
"""Messages taken before the worker's reports get their turn."""


def serve(path: Path, *, device: str, idle_minutes: float, on_listening: Callable[[int], None]) -> None:
    """Is the backend of a connection file until it is told to end, or nobody asked for anything for so long.

    idle_minutes: 0 for ever.   on_listening: called with the port. Call it on the main thread: SIGTERM and SIGINT
    are its to handle. Raises BackendError when it cannot start: another runs, or the folder cannot be used.
    """
    with connection.held(path):
        server = Server(device=device, idle_s=idle_minutes * 60)
        try:
            with server.ending_on_signals():
                connection.publish(path, server.connection)
                _log.info("listening on port %d, process %d", server.connection.port, os.getpid())
                on_listening(server.connection.port)
                server.run()
        finally:
            connection.withdraw(path, server.connection)
            server.close()
            _log.info("ended")
    if server.is_stuck:
        # A thread that comes back from torch into an interpreter that is being taken down brings the process down
        # with it, and with a complaint. Nothing is left to be done.
        logging.shutdown()
        os._exit(0)


class Server:
    """One ROUTER on 127.0.0.1, the requests that came in through it, and the worker they go to."""

    def __init__(self, *, device: str, idle_s: float) -> None:
        key = connection.secret()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gate = Gate(self._context, key)
        self._peers = _router(self._context)
        port = int(self._peers.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self.connection = Connection(port=port, device=device, key=key, proof_key=connection.secret())
        # A byte in it wakes the loop: written by signals and by the worker's thread.
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._poller = zmq.Poller()
        for source in (self._gate.socket, self._peers, self._bell.fileno()):
            self._poller.register(source, zmq.POLLIN)
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._answers = Answers(self._peers, self._forget)
        self._waiting = Waiting()
        self._running: Job | None = None
        self._worker = Worker(device, self._hear)
        self._models = sorted(file.stem for file in Path(gknet.__file__).parent.glob("weights/*.safetensors"))
        self._process = psutil.Process()
        self._ending = False
        self._farewells: list[tuple[bytes, int]] = []
        self._idle_s = idle_s
        self._last_use = self._last_tick = time.monotonic()

    def run(self) -> None:
        """Serves until it is told to end or nobody asked for anything for the idle time."""
        self._worker.start()
        while not self._ending:
            self._poller.poll(self._patience_ms())
            self._gate.answer()
            self._take_reports()
            for _ in range(_AT_ONCE):
                if not self._take_message():
                    break
            self._tick()

    @contextmanager
    def ending_on_signals(self) -> Iterator[None]:
        """Within the block, SIGTERM and SIGINT make `run` return."""

        def end(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._ending = True

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        alarm = signal.set_wakeup_fd(self._button.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(alarm)
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Cancels what is open, sends the last answers and frees everything.

        Withdraw the connection file before: whoever hears `bye` may start another backend at once.
        """
        self._ending = True
        for peer, message_id in self._farewells:
            self._answers.send(peer, {"op": "bye", "id": message_id})
        for job in self._waiting.clear():
            self._answers.error(job.peer, job.request.id, _cancelled())
        if self._worker.is_alive():
            if self._running is not None:
                self._running.cancelled.set()
            self._worker.stop()
            self._worker.join(_LAST_WORK_S)
            self._take_reports()
        if self._running is not None:
            self._answers.error(self._running.peer, self._running.request.id, _cancelled())
        self._peers.close(linger=_LAST_ANSWERS_MS)
        self._gate.socket.close()
        self._context.term()
        self._bell.close()
        self._button.close()

    @property
    def is_stuck(self) -> bool:
        """Whether the worker did not come to an end, closed as we are."""
        return self._worker.is_alive()

    def _patience_ms(self) -> int | None:
        """How long there is nothing to do but wait for a message, None for ever."""
        if self._waiting:
            return round(_TICK_S * 1e3)
        if self._running is not None or not self._idle_s:
            return None
        return math.ceil(max(0.0, self._last_use + self._idle_s - time.monotonic()) * 1e3)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._waiting and now - self._last_tick >= _TICK_S:
            self._last_tick = now
            for place, job in enumerate(self._waiting, 1):
                self._answers.progress(job, "wait", 0, place)
        if self._waiting or self._running is not None:
            self._last_use = now
        elif self._idle_s and now - self._last_use >= self._idle_s:
            _log.info("nobody asked for anything for %g minutes", self._idle_s / 60)
            self._ending = True

    # From the worker's thread.

    def _hear(self, report: Report) -> None:
        self._reports.put(report)
        with suppress(BlockingIOError):  # full: the loop is awake
            self._button.send(b"\0")

    # What comes in.

    def _take_reports(self) -> None:
        with suppress(BlockingIOError):
            self._bell.recv(4096)
        while True:
            try:
                report = self._reports.get_nowait()
            except Empty:
                return
            if isinstance(report, Progress):
                self._answers.progress(report.job, report.stage, report.done, report.total)
                continue
            self._running = None
            if isinstance(report, Done):
                self._answers.result(report)
            else:
                self._answers.error(report.job.peer, report.job.request.id, report.error)
            del report  # its pixels are the socket's now
            self._give_next()

    def _take_message(self) -> bool:
        """Answers one message; False if none is there."""
        try:
            peer, *frames = self._peers.recv_multipart(zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        self._last_use = time.monotonic()
        try:
            self._answer(peer.bytes, requests.read([frame.buffer for frame in frames]))
        except requests.BadMessageError as error:
            _log.warning("refused: %s", error.message, extra={"request": error.id})
            self._answers.error(peer.bytes, error.id, error)
        except Exception:  # one message's fault must not end the service for all
            _log.exception("a message could not be answered")
            self._answers.error(
                peer.bytes, None, BackendError(protocol.INTERNAL, "The backend met a fault of its own.")
            )
        return True

    def _answer(self, peer: bytes, request: requests.Request) -> None:
        match request:
            case Hello():
                self._answers.send(peer, self._hello(request))
            case Status():
                self._answers.send(peer, self._status(request))
            case Cancel():
                self._cancel(peer, request)
            case Harmonize():
                try:
                    self._admit(Job(peer, request))
                except BackendError as error:
                    self._answers.error(peer, request.id, error)
            case Shutdown():
                _log.info("told to end")
                self._farewells.append((peer, request.id))
                self._ending = True

    def _hello(self, request: Hello) -> dict[str, Any]:
        _log.info("hello from %r", request.client)
        return {
            "op": "hello",
            "id": request.id,
            "protocol": protocol.PROTOCOL,
            "version": self.connection.version,
            "device": self._worker.device,
            "models": self._models,
            "proof": hmac.digest(bytes.fromhex(self.connection.proof_key), request.nonce, hashlib.sha256),
            "limits": {
                "pixels": protocol.MAX_PIXELS,
                "frame_bytes": protocol.MAX_FRAME,
                "requests": protocol.MAX_REQUESTS,
                "queue": protocol.MAX_QUEUE,
            },
        }

    def _status(self, request: Status) -> dict[str, Any]:
        return {
            "op": "status",
            "id": request.id,
            "state": "idle" if self._running is None else "working",
            "queue": len(self._waiting),
            "served": self._answers.results,
            "memory": self._process.memory_info().rss,
            "uptime": time.time() - self.connection.started,
            "pid": self.connection.pid,
            "version": self.connection.version,
            "device": self._worker.device,
            "models_loaded": self._worker.models_loaded,
        }

    def _cancel(self, peer: bytes, request: Cancel) -> None:
        waiting = self._waiting.remove(peer, request.request)
        running = self._running
        found = running is not None and (running.peer, running.request.id) == (peer, request.request)
        if found and running is not None:
            running.cancelled.set()
        answer = {"op": "cancelled", "id": request.id, "request": request.request}
        self._answers.send(peer, {**answer, "found": found or waiting is not None})
        if waiting is not None:
            self._answers.error(peer, request.request, _cancelled())

    # Requests on their way.

    def _admit(self, job: Job) -> None:
        """Queues a request, or raises BackendError."""
        request = job.request
        if request.model is not None and request.model not in self._models:
            raise BackendError(
                protocol.UNSUPPORTED,
                f"There is no model {request.model!r}.",
                f"Choose one of: {', '.join(self._models)}.",
            )
        mine = [one.request.id for one in self._open() if one.peer == job.peer]
        if request.id in mine:
            raise BackendError(protocol.BAD_REQUEST, f"Request {request.id} runs already.", "Number requests anew.")
        if len(mine) >= protocol.MAX_REQUESTS:
            raise BackendError(
                protocol.BUSY, f"{len(mine)} requests of this client are running.", "Wait until one of them has ended."
            )
        self._waiting.add(job)
        _log.info(
            "asked for %d x %d %s x %d",
            request.layer.width,
            request.layer.height,
            request.layer.depth,
            request.layer.channels,
            extra={"request": request.id},
        )
        if self._running is not None:
            self._answers.progress(job, "wait", 0, len(self._waiting))
        self._give_next()

    def _give_next(self) -> None:
        """Hands the worker, if it is free, the first request whose client is still there."""
        while self._running is None and not self._ending and (job := self._waiting.next()) is not None:
            self._running = job
            stage, done = ("wait", 1) if self._worker.ready.is_set() else ("load", 0)
            if self._answers.progress(job, stage, done, 1):
                self._worker.give(job)
            else:
                self._running = None

    def _open(self) -> list[Job]:
        return [*self._waiting, *([] if self._running is None else [self._running])]

    def _forget(self, peer: bytes) -> None:
        """Drops what a client that has gone had asked for."""
        dropped = self._waiting.drop(peer)
        if self._running is not None and self._running.peer == peer:
            self._running.cancelled.set()
            dropped += 1
        _log.info("a client went away; requests dropped: %d", dropped)


def _router(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """The guarded socket, bound to a port that the system chose.

    It sends no heartbeats: on one machine a closed connection shows at once, and a host that has nothing to ask
    does not listen and would be cut off.
    """
    router = context.socket(zmq.ROUTER)
    router.plain_server = True
    router.zap_domain = DOMAIN.encode()
    router.router_mandatory = True
    router.maxmsgsize = protocol.MAX_FRAME
    router.rcvhwm = protocol.MAX_REQUESTS + 1
    router.sndhwm = UNREAD
    router.handshake_ivl = 10_000
    router.bind("tcp://127.0.0.1:0")
    return router


def _cancelled() -> BackendError:
    return BackendError(protocol.CANCELLED, "The request was cancelled.")
