"""The socket loop: it queues requests and sends answers. It never waits for the worker, so it always responds."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

import psutil
import zmq

import gknet
from backend.errors import BackendUnavailableError, BusyError, InternalError
from backend.server import connection, requests
from backend.server.answers import UNREAD, Answers
from backend.server.connection import Connection
from backend.server.requests import Cancel, Harmonize, Hello, Shutdown, Status
from backend.server.worker import Job, Progress, Report, Result, Worker
from backend.thin import protocol
from gknet.ending import list_ending_signals
from gknet.errors import CancelledError, HarmonizeError, InputError, UnsupportedError

_log = logging.getLogger(__name__)

_TICK_S = 1.0
"""Interval between progress messages to waiting clients, which also detect clients that have disconnected, and between
looks at the connection file."""
_LAST_WORK_S = 5.0
"""Time for the running request to stop when the backend stops."""
_LAST_ANSWERS_MS = 2000
"""Time for the last answers to be sent when the backend stops."""
_AT_ONCE = 32
"""Messages handled before the worker's reports are handled again."""
_MAX_WAITING_BYTES = 4 * 2**30
"""Limit on the pixels of all waiting requests."""
_ZAP_DOMAIN = b"gknet"
_ZAP_ADDRESS = "inproc://zeromq.zap.01"


def serve(path: Path, *, device: str, idle_minutes: float, on_listening: Callable[[int], None]) -> None:
    """Run the backend for a connection file until shutdown or the idle timeout.

    idle_minutes: 0 means no timeout.   on_listening: called with the port.
    Call it in the main thread, because it handles signals.
    Raise BackendUnavailableError if another backend is running, or the file's folder cannot be used.
    """
    with connection.hold_lock(path) as holds_lock:
        server = Server(path, holds_lock, device=device, idle_s=idle_minutes * 60)
        try:
            with server.handle_signals():
                connection.write_connection_file(path, server.connection)
                _log.info("listening on port %d, process %d", server.connection.port, os.getpid())
                on_listening(server.connection.port)
                server.run()
        finally:
            connection.remove_connection_file(path, server.connection)
            server.close()
            _log.info("ended")
    if server.is_stuck:
        # A thread that returns from torch while the interpreter shuts down crashes the process. Nothing is left to do.
        logging.shutdown()
        os._exit(0)


class Server:
    """A ROUTER on 127.0.0.1, its queue of requests, and the worker that runs them."""

    def __init__(self, path: Path, holds_lock: Callable[[], bool], *, device: str, idle_s: float) -> None:
        self._path, self._holds_lock = path, holds_lock
        key = connection.create_key()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator = _Authenticator(self._context, key)
        self._peers = _create_router(self._context)
        port = int(self._peers.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self.connection = Connection(port=port, device=device, key=key, proof_key=connection.create_key())
        # A byte in it wakes the loop. Signals and the worker's thread write it.
        self._wakeup_receiver, self._wakeup_sender = socket.socketpair()
        self._wakeup_receiver.setblocking(False)
        self._wakeup_sender.setblocking(False)
        self._poller = zmq.Poller()
        for source in (self._authenticator.socket, self._peers, self._wakeup_receiver.fileno()):
            self._poller.register(source, zmq.POLLIN)
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._answers = Answers(self._peers, self._forget_client)
        self._queue = _Queue()
        self._running: Job | None = None
        self._worker = Worker(device, self._queue_report)
        self._models = sorted(file.stem for file in Path(gknet.__file__).parent.glob("weights/*.safetensors"))
        self._process = psutil.Process()
        self._ending = False
        self._pending_byes: list[tuple[bytes, int]] = []
        self._idle_s = idle_s
        self._last_use = self._last_tick = time.monotonic()

    def run(self) -> None:
        """Serve requests until shutdown or the idle timeout."""
        self._worker.start()
        while not self._ending:
            self._poller.poll(self._compute_timeout_ms())
            self._authenticator.answer_requests()
            self._take_reports()
            for _ in range(_AT_ONCE):
                if not self._take_message():
                    break
            self._tick()

    @contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Make `run` return on Ctrl-C and other ending signals during the block."""

        def end(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._ending = True

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, *list_ending_signals())}
        alarm = signal.set_wakeup_fd(self._wakeup_sender.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(alarm)
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """Cancel open requests, send the last answers and free all resources.

        Remove the connection file first: a client that gets `bye` may start another backend at once.
        """
        self._ending = True
        for peer, message_id in self._pending_byes:
            self._answers.send(peer, {"op": "bye", "id": message_id})
        for job in self._queue.clear():
            self._answers.send_error(job.peer, job.request.id, _make_cancelled_error())
        if self._worker.is_alive():
            if self._running is not None:
                self._running.cancelled.set()
            self._worker.stop()
            self._worker.join(_LAST_WORK_S)
            self._take_reports()
        if self._running is not None:
            self._answers.send_error(self._running.peer, self._running.request.id, _make_cancelled_error())
        self._peers.close(linger=_LAST_ANSWERS_MS)
        self._authenticator.socket.close()
        self._context.term()
        self._wakeup_receiver.close()
        self._wakeup_sender.close()

    @property
    def is_stuck(self) -> bool:
        """Whether the worker is still running after `close`."""
        return self._worker.is_alive()

    def _compute_timeout_ms(self) -> int:
        """Return how long to wait for a message."""
        end = self._last_tick + _TICK_S
        if self._idle_s:
            end = min(end, self._last_use + self._idle_s)
        return math.ceil(max(0.0, end - time.monotonic()) * 1e3)

    def _tick(self) -> None:
        """Send progress to waiting clients, look at the connection file, and end the loop after the idle timeout."""
        now = time.monotonic()
        if now - self._last_tick >= _TICK_S:
            self._last_tick = now
            for place, job in enumerate(self._queue, 1):
                self._answers.send_progress(job, "wait", 0, place)
            self._look_at_connection_file()
        if self._queue or self._running is not None:
            self._last_use = now
        elif self._idle_s and now - self._last_use >= self._idle_s:
            _log.info("no requests for %g minutes", self._idle_s / 60)
            self._ending = True

    def _look_at_connection_file(self) -> None:
        """Write the connection file again if it was deleted or changed: no client could find or stop this backend.

        Without the lock, the file may be another backend's by now, and this one ends as soon as it is idle.
        """
        if self._ending or connection.describes(self._path, self.connection):
            return
        if not self._holds_lock():
            if self._running is None and not self._queue:
                _log.warning("the connection file and its lock file were deleted or replaced")
                self._ending = True
            return
        # Somebody may have deleted the file because others could read its keys.
        new = replace(self.connection, key=connection.create_key(), proof_key=connection.create_key())
        with suppress(BackendUnavailableError):  # the next tick tries again
            connection.write_connection_file(self._path, new)
            self.connection = new
            self._authenticator.set_key(new.key)
            _log.warning("the connection file was missing or changed and has been written again")

    def _queue_report(self, report: Report) -> None:
        """Queue a report; called on the worker's thread."""
        self._reports.put(report)
        with suppress(BlockingIOError):  # full, so the loop is awake
            self._wakeup_sender.send(b"\0")

    def _take_reports(self) -> None:
        """Send everything that the worker has reported."""
        with suppress(BlockingIOError):
            self._wakeup_receiver.recv(4096)
        while True:
            try:
                report = self._reports.get_nowait()
            except Empty:
                return
            if isinstance(report, Progress):
                self._answers.send_progress(report.job, report.stage, report.done, report.total)
                continue
            self._running = None
            if isinstance(report, Result):
                self._answers.send_result(report)
            else:
                self._answers.send_error(report.job.peer, report.job.request.id, report.error)
            del report  # its pixels now belong to the socket
            self._give_next()

    def _take_message(self) -> bool:
        """Answer one message. Return False if there is none."""
        try:
            peer, *frames = self._peers.recv_multipart(zmq.DONTWAIT, copy=False)
        except zmq.Again:
            return False
        self._last_use = time.monotonic()
        try:
            self._handle_request(peer.bytes, requests.read_request([frame.buffer for frame in frames]))
        except requests.BadMessageError as error:
            _log.warning("refused: %s", error.error.message, extra={"request": error.id})
            self._answers.send_error(peer.bytes, error.id, error.error)
        except Exception:  # one message must not stop the service for all
            _log.exception("a message could not be answered")
            self._answers.send_error(peer.bytes, None, InternalError("An unexpected error occurred in the backend."))
        return True

    def _handle_request(self, peer: bytes, request: requests.Request) -> None:
        match request:
            case Hello():
                self._answers.send(peer, self._describe_backend(request))
            case Status():
                self._answers.send(peer, self._describe_status(request))
            case Cancel():
                self._cancel(peer, request)
            case Harmonize():
                try:
                    self._queue_job(Job(peer, request))
                except HarmonizeError as error:
                    self._answers.send_error(peer, request.id, error)
            case Shutdown():
                _log.info("shut down by a client")
                self._pending_byes.append((peer, request.id))
                self._ending = True

    def _describe_backend(self, request: Hello) -> dict[str, Any]:
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

    def _describe_status(self, request: Status) -> dict[str, Any]:
        return {
            "op": "status",
            "id": request.id,
            "state": "idle" if self._running is None else "working",
            "queue": len(self._queue),
            "served": self._answers.results,
            "memory": self._process.memory_info().rss,
            "uptime": time.time() - self.connection.started,
            "pid": self.connection.pid,
            "version": self.connection.version,
            "device": self._worker.device,
            "models_loaded": self._worker.models_loaded,
        }

    def _cancel(self, peer: bytes, request: Cancel) -> None:
        waiting = self._queue.remove(peer, request.request)
        running = self._running
        is_running = running is not None and (running.peer, running.request.id) == (peer, request.request)
        if is_running and running is not None:
            running.cancelled.set()
        answer = {"op": "cancelled", "id": request.id, "request": request.request}
        self._answers.send(peer, {**answer, "found": is_running or waiting is not None})
        if waiting is not None:
            self._answers.send_error(peer, request.request, _make_cancelled_error())

    def _queue_job(self, job: Job) -> None:
        """Queue a request. Raise UnsupportedError, InputError or BusyError if it can't be queued."""
        request = job.request
        if request.model is not None and request.model not in self._models:
            raise UnsupportedError(f"Unknown model {request.model!r}.", f"Choose one of: {', '.join(self._models)}.")
        mine = [one.request.id for one in self._list_open_jobs() if one.peer == job.peer]
        if request.id in mine:
            raise InputError(f"Request {request.id} is already running.", "Give every request a unique id.")
        if len(mine) >= protocol.MAX_REQUESTS:
            raise BusyError(
                f"This client already has {len(mine)} running requests.", "Wait until one of them has ended."
            )
        self._queue.add(job)
        _log.info(
            "request for %d x %d %s x %d",
            request.layer.width,
            request.layer.height,
            request.layer.depth,
            request.layer.channels,
            extra={"request": request.id},
        )
        if self._running is not None:
            self._answers.send_progress(job, "wait", 0, len(self._queue))
        self._give_next()

    def _give_next(self) -> None:
        """Give an idle worker the first request whose client is still connected."""
        while self._running is None and not self._ending and (job := self._queue.pop()) is not None:
            self._running = job
            stage, done = ("wait", 1) if self._worker.ready.is_set() else ("load", 0)
            if self._answers.send_progress(job, stage, done, 1):
                self._worker.submit(job)
            else:
                self._running = None

    def _list_open_jobs(self) -> list[Job]:
        return [*self._queue, *([] if self._running is None else [self._running])]

    def _forget_client(self, peer: bytes) -> None:
        """Drop the requests of a client that has disconnected."""
        count = self._queue.drop(peer)
        if self._running is not None and self._running.peer == peer:
            self._running.cancelled.set()
            count += 1
        _log.info("a client disconnected; requests dropped: %d", count)


class _Queue:
    """The requests waiting for the worker, oldest first. Its length and bytes are limited."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """Iterate over a snapshot, so that jobs may be dropped meanwhile."""
        return iter(tuple(self._jobs))

    def add(self, job: Job) -> None:
        """Append a job. Raise BusyError if too many jobs, or too many bytes, are waiting."""
        size = sum(one.request.size for one in self._jobs)
        if len(self._jobs) >= protocol.MAX_QUEUE or (self._jobs and size + job.request.size > _MAX_WAITING_BYTES):
            raise BusyError(f"{len(self._jobs)} requests are already waiting.", "Try again in a moment.")
        self._jobs.append(job)

    def pop(self) -> Job | None:
        """Remove and return the first job, None if there is none."""
        return self._jobs.popleft() if self._jobs else None

    def remove(self, peer: bytes, request_id: int) -> Job | None:
        """Remove and return one request of a client, None if it is not waiting."""
        for job in self._jobs:
            if (job.peer, job.request.id) == (peer, request_id):
                self._jobs.remove(job)
                return job
        return None

    def drop(self, peer: bytes) -> int:
        """Remove all requests of a client and return their number."""
        before = len(self._jobs)
        self._jobs = deque(job for job in self._jobs if job.peer != peer)
        return before - len(self._jobs)

    def clear(self) -> list[Job]:
        """Remove and return all jobs."""
        jobs = list(self._jobs)
        self._jobs.clear()
        return jobs


class _Authenticator:
    """Authentication of clients: ZeroMQ's PLAIN over ZAP (rfc.zeromq.org/spec/27), handled by the socket loop.

    Create it before binding the guarded socket. pyzmq's own authenticators log every password at level DEBUG and
    compare it in variable time.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key: str) -> None:
        self.set_key(key)
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ZAP_ADDRESS)

    def set_key(self, key: str) -> None:
        """Set the key for clients that connect from now on."""
        self._key = key.encode("ascii")

    def answer_requests(self) -> None:
        """Answer all pending requests from libzmq."""
        while True:
            try:
                question = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            verdict = [b"200", b"OK"] if self._is_allowed(question) else [b"400", b"No"]
            request_id = question[1] if len(question) > 1 else b""
            self.socket.send_multipart([b"1.0", request_id, *verdict, b"", b""])

    def _is_allowed(self, question: list[bytes]) -> bool:
        if len(question) != 8:  # other mechanisms have other numbers of credentials
            return False
        version, _, domain, address, _, mechanism, user, password = question
        return (
            (version, domain, address, mechanism) == (b"1.0", _ZAP_DOMAIN, b"127.0.0.1", b"PLAIN")
            and hmac.compare_digest(user, protocol.USER)
            and hmac.compare_digest(password, self._key)
        )


def _create_router(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return the guarded socket, bound to a port that the system chose.

    It sends no heartbeats. On one machine a closed connection is noticed at once, and an idle host does not read
    and would be disconnected.
    """
    router = context.socket(zmq.ROUTER)
    router.plain_server = True
    router.zap_domain = _ZAP_DOMAIN
    router.router_mandatory = True
    router.maxmsgsize = protocol.MAX_FRAME
    router.rcvhwm = protocol.MAX_REQUESTS + 1
    router.sndhwm = UNREAD
    router.handshake_ivl = 10_000
    router.bind("tcp://127.0.0.1:0")
    return router


def _make_cancelled_error() -> CancelledError:
    return CancelledError("The request was cancelled.")
