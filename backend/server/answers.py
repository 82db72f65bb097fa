"""Answers to clients. A client that has gone or doesn't read never blocks the socket loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgpack
import zmq

from backend.server.worker import Job, Result
from gknet.errors import HarmonizeError

_log = logging.getLogger(__name__)

UNREAD = 256
"""Messages buffered for a client that does not read."""

_TEXTS = {
    "wait": "Waiting for other images",
    "clean": "Cleaning the edges",
    "load": "Loading the network",
    "reduce": "Analysing the scene",
    "network": "Harmonizing",
    "apply": "Applying the colours",
}


class Answers:
    """Send answers through a ROUTER without blocking.

    forget: called with a client that has disconnected.
    """

    def __init__(self, peers: zmq.Socket[bytes], forget: Callable[[bytes], None]) -> None:
        self.results = 0
        """Number of results sent."""
        self._peers = peers
        self._forget = forget

    def send(self, peer: bytes, header: dict[str, Any], pixels: Any = None) -> bool:
        """Send an answer. Return False if its client has disconnected or does not read."""
        frames = [peer, msgpack.packb(header)]
        if pixels is not None:
            frames.append(pixels)
        try:
            self._peers.send_multipart(frames, zmq.DONTWAIT, copy=False)
        except zmq.Again:
            _log.warning("a client does not read its answers", extra={"request": header["id"]})
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._forget(peer)
            return False
        return True

    def send_progress(self, job: Job, stage: str, done: int, total: int) -> bool:
        """Send a job's progress. Return False as `send` does."""
        header = {"op": "progress", "id": job.request.id, "stage": stage, "done": done, "total": total}
        return self.send(job.peer, {**header, "text": _TEXTS[stage]})

    def send_result(self, done: Result) -> None:
        """Send a job's pixels with their fit, timings and warnings."""
        request = done.job.request
        layer = request.layer
        header = {
            "op": "result",
            "id": request.id,
            "width": layer.width,
            "height": layer.height,
            "channels": layer.channels,
            "depth": layer.depth,
            "space": layer.space,
            "fit": done.fit,
            "variants": done.variants,
            "timings": done.timings,
            "warnings": done.warnings,
        }
        self.results += 1
        _log.info("done in %.0f ms", sum(done.timings.values()), extra={"request": request.id})
        self.send(done.job.peer, header, done.pixels)

    def send_error(self, peer: bytes, message_id: int | None, error: HarmonizeError) -> None:
        """Send an error.   message_id: None if the message's id could not be read."""
        header = {"op": "error", "id": message_id, "code": error.code, "message": error.message, "hint": error.hint}
        self.send(peer, header)
