"""Who may speak with the backend: ZeroMQ's PLAIN, answered over ZAP (rfc.zeromq.org/spec/27) by the socket loop.

pyzmq's own authenticators write every password into the log at level DEBUG and compare it in variable time.
"""

from __future__ import annotations

import hmac

import zmq

from backend.thin import protocol

DOMAIN = "gknet"
_ADDRESS = "inproc://zeromq.zap.01"


class Gate:
    """Answers libzmq's question whether a peer may connect. Must be there before the guarded socket is bound."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], key: str) -> None:
        self._key = key.encode("ascii")
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(_ADDRESS)

    def answer(self) -> None:
        """Answers all questions that wait."""
        while True:
            try:
                question = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            allowed = self._allows(question)
            verdict = [b"200", b"OK"] if allowed else [b"400", b"No"]
            request_id = question[1] if len(question) > 1 else b""
            self.socket.send_multipart([b"1.0", request_id, *verdict, b"", b""])

    def _allows(self, question: list[bytes]) -> bool:
        if len(question) != 8:  # another mechanism has another number of credentials
            return False
        version, _, domain, address, _, mechanism, user, password = question
        return (
            (version, domain, address, mechanism) == (b"1.0", DOMAIN.encode(), b"127.0.0.1", b"PLAIN")
            and hmac.compare_digest(user, protocol.USER)
            and hmac.compare_digest(password, self._key)
        )
