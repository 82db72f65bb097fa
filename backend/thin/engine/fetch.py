"""Downloads over HTTP on a thread of their own, so that cancelling never waits for the network."""

from __future__ import annotations

import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from ..protocol import ThinError
from .attempt import POLL_S, Attempt
from .failures import explain_network_error
from .settings import IndexSettings, is_same_server

TIMEOUT_S = 20.0
"""Time for each answer of the server."""
_CHUNK = 256 * 1024
_QUEUED = 16
_Piece = Any
"""The address after redirections (str), then content (bytes), then None or the error."""


def fetch(
    address: str,
    settings: IndexSettings,
    attempt: Attempt,
    *,
    accept: str = "*/*",
    on_chunk: Callable[[bytes], object],
) -> str:
    """Download an address, call `on_chunk` with each part of the content, and return the address after redirections.

    Raise ThinError: `backend_unavailable` for every failure of the network; `cancelled`.
    """
    attempt.log(f"Downloading {_hide_password(address)}")
    pieces: queue.Queue[_Piece] = queue.Queue(_QUEUED)
    is_over = threading.Event()
    threading.Thread(
        target=_download, args=(address, settings, accept, pieces, is_over), name="gknet-download", daemon=True
    ).start()
    final = address
    try:
        for piece in _iterate_pieces(pieces, attempt):
            if isinstance(piece, Exception):
                attempt.log(f"{type(piece).__name__}: {piece}")
                if isinstance(piece, ThinError):
                    raise piece
                raise explain_network_error(piece) from piece
            if isinstance(piece, str):
                final = piece
            elif piece is not None:
                on_chunk(piece)
        return final
    finally:
        is_over.set()


def _iterate_pieces(pieces: queue.Queue[_Piece], attempt: Attempt) -> Iterator[_Piece]:
    while True:
        attempt.check()
        try:
            piece = pieces.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if piece is None:
            return
        yield piece


def _download(
    address: str, settings: IndexSettings, accept: str, pieces: queue.Queue[_Piece], is_over: threading.Event
) -> None:
    def put(piece: _Piece) -> None:
        while not is_over.is_set():
            with suppress(queue.Full):
                pieces.put(piece, timeout=POLL_S)
                break

    try:
        context = settings.build_context()
        request = build_request(address, settings, accept)
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.HTTPSHandler(context=context),
            _Redirects(settings),
        ]
        if settings.proxy:
            handlers.append(urllib.request.ProxyHandler({"http": settings.proxy, "https": settings.proxy}))
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
            put(answer.url)
            expected = answer.headers.get("Content-Length")
            count = 0
            while not is_over.is_set():
                chunk = answer.read(_CHUNK)
                if not chunk:
                    break
                count += len(chunk)
                put(chunk)
            if expected is not None and not is_over.is_set() and count != int(expected):
                raise ConnectionResetError("ConnectionResetError: the connection ended early")
    except Exception as error:  # handed over to the thread that asked
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        put(error)
    else:
        put(None)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections. Passwords never go on to another server."""

    def __init__(self, settings: IndexSettings) -> None:
        self._settings = settings

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is None:
            return None
        made = build_request(newurl, self._settings, str(req.get_header("Accept")))
        name = "Authorization"
        if not made.has_header(name) and req.has_header(name) and is_same_server(req.full_url, newurl):
            made.add_unredirected_header(name, str(req.get_header(name)))
        return made


def build_request(address: str, settings: IndexSettings, accept: str) -> urllib.request.Request:
    """Return the request for an address, which may contain a user's name and password."""
    parts = urllib.parse.urlsplit(address)
    address = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(address, headers={"Accept": accept, "User-Agent": "gknet-harmonize"})
    authorization = settings.build_authorization(urllib.parse.urlunsplit(parts))
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    return request


def _hide_password(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
