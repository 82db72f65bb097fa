"""Serve the page and its pictures to browsers on this machine.

GET /                    the page, which asks for the voter's name
GET /trials?voter=NAME   {"trials": [{"composite", "left", "right": addresses, "choice": the vote or null}]}
GET /pictures/NAME       a picture; the random name reveals neither file nor method
POST /votes              {"voter", "trial": its index in that list, "choice": "left", "right" or "none"}
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gknet.errors import InputError
from training.human_study.study import CONTENT_TYPES, Study
from training.human_study.votes import CHOICES, Vote, VoteFile, make_question

ADDRESS = "127.0.0.1"
HOSTS = {ADDRESS, "localhost"}
"""Host names accepted from a browser. A malicious page could make any other name point to this machine."""
PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LONGEST_NAME = 64
LONGEST_BODY = 4096


class StudyServer(ThreadingTCPServer):
    """Listens on the loopback interface only.

    port: 0 lets the system choose; `server_address` holds the result.
    Raises InputError if the port isn't available.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there, two servers could share a port

    def __init__(self, study: Study, votes: VoteFile, port: int) -> None:
        self.study = study
        self.votes = votes
        self.files: dict[str, Path] = {}
        self.addresses: dict[tuple[str, str], str] = {}
        for method, pictures in {"": study.composites, **study.results}.items():
            for picture, path in pictures.items():
                name = secrets.token_urlsafe(12)
                self.files[f"/pictures/{name}"] = path
                self.addresses[method, picture] = f"/pictures/{name}"
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise InputError(f"Port {port} {why}.", "Choose another port with --port.") from error

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def list_trials(self, voter: str) -> list[dict[str, str | None]]:
        """Return the voter's questions in order, in the page's format."""
        shown: list[dict[str, str | None]] = []
        for trial in self.study.draw_trials(voter):
            vote = self.votes.by_question.get(make_question(voter, trial))
            shown.append(
                {
                    "composite": self.addresses["", trial.picture],
                    "left": self.addresses[trial.left, trial.picture],
                    "right": self.addresses[trial.right, trial.picture],
                    "choice": vote.choice if vote else None,
                }
            )
        return shown

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors from browsers that disconnected."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class RefusedError(Exception):
    """A refused request. status: the HTTP status. message: a sentence for the voter."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Handler(BaseHTTPRequestHandler):
    """Handles one browser's connection."""

    server: StudyServer
    protocol_version = "HTTP/1.1"
    server_version = "study"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, what: Any) -> None:
        try:
            self._check_host()
            what()
        except RefusedError as refused:
            self.close_connection = True  # the rest of the request wasn't read
            self._send(refused.status, "text/plain; charset=utf-8", refused.message.encode())

    def _get(self) -> None:
        url = urlsplit(self.path)
        if url.path in PAGE:
            name, kind = PAGE[url.path]
            self._send(HTTPStatus.OK, kind, (Path(__file__).parent / name).read_bytes())
        elif url.path in self.server.files:
            path = self.server.files[url.path]
            try:
                data = path.read_bytes()
            except OSError as error:
                raise RefusedError(HTTPStatus.NOT_FOUND, "The picture no longer exists.") from error
            self._send(HTTPStatus.OK, CONTENT_TYPES[path.suffix.lower()], data, "private, max-age=86400, immutable")
        elif url.path == "/trials":
            voter = _parse_voter(parse_qs(url.query).get("voter", [""])[0])
            self._send(
                HTTPStatus.OK, "application/json", json.dumps({"trials": self.server.list_trials(voter)}).encode()
            )
        elif url.path == "/favicon.ico":  # browsers request one and log an error without it
            self._send(HTTPStatus.NO_CONTENT, "image/png", b"")
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Page not found.")

    def _post(self) -> None:
        if urlsplit(self.path).path != "/votes":
            raise RefusedError(HTTPStatus.NOT_FOUND, "Page not found.")
        # Another site's page can't send this without a preflight request, which is never granted.
        if self.headers.get_content_type() != "application/json" or not self._is_own_page():
            raise RefusedError(HTTPStatus.FORBIDDEN, "Votes are accepted from this study's page only.")
        vote = self._parse_vote(self._read_body())
        try:
            self.server.votes.append(vote)
        except OSError as error:
            print(f"human_study: A vote could not be written: {error}", file=sys.stderr, flush=True)
            raise RefusedError(HTTPStatus.INSUFFICIENT_STORAGE, "The vote could not be written to the disk.") from error
        self._send(HTTPStatus.NO_CONTENT, "text/plain; charset=utf-8", b"")

    def _read_body(self) -> dict[str, Any]:
        try:
            length = int(self.headers["Content-Length"])
            if not 0 < length <= LONGEST_BODY:
                raise ValueError
            fields = json.loads(self.rfile.read(length))
        except (TypeError, ValueError) as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The vote is invalid. Reload the page.") from error
        if not isinstance(fields, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The vote is invalid. Reload the page.")
        return fields

    def _parse_vote(self, fields: dict[str, Any]) -> Vote:
        voter, number, choice = _parse_voter(fields.get("voter")), fields.get("trial"), fields.get("choice")
        trials = self.server.study.draw_trials(voter)
        if type(number) is not int or not 0 <= number < len(trials) or choice not in CHOICES:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "The vote is invalid. Reload the page.")
        return Vote(voter, trials[number], choice)

    def _check_host(self) -> None:
        """Refuse unknown host names (DNS rebinding). Any port is accepted, because it may be forwarded."""
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            name = None
        if name not in HOSTS:
            raise RefusedError(HTTPStatus.FORBIDDEN, f"Open this page at http://{ADDRESS} instead.")

    def _is_own_page(self) -> bool:
        origin = self.headers.get("Origin")
        return origin is None or origin == f"http://{self.headers['Host']}"

    def _send(self, status: HTTPStatus, kind: str, body: bytes, cache: str = "no-store") -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Cache-Control": cache}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Don't log requests to the terminal."""


def _parse_voter(name: object) -> str:
    """Return the voter's name, stripped. Raises RefusedError if it is invalid."""
    if isinstance(name, str):
        name = name.strip()
        if 0 < len(name) <= LONGEST_NAME and name.isprintable():
            return name
    raise RefusedError(HTTPStatus.BAD_REQUEST, f"A name must have 1 to {LONGEST_NAME} printable characters.")
