"""Errors of the installation: what went wrong, from an exception or a program's output, and what to do."""

from __future__ import annotations

import errno
import re
import urllib.error
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..protocol import BACKEND_UNAVAILABLE, ThinError
from .sizes import format_bytes

_INDEX = "The package index"

_FULL = ("The disk is full.", "Free some disk space, then try again.")
_NO_NETWORK = (
    "{server} can't be reached: there is no connection.",
    "Check the internet connection and the proxy settings (HTTPS_PROXY), then try again.",
)
_REFUSED = (
    "{server} can't be reached: it refused the connection.",
    "Check the firewall, the proxy settings (HTTPS_PROXY) and PIP_INDEX_URL, then try again.",
)
_SLOW = (
    "{server} did not answer in time.",
    "Check the internet connection, then try again. What is complete is not downloaded again.",
)
_PROXY = ("The proxy refused the connection.", "Check the proxy's address and password in HTTPS_PROXY, then try again.")
_CERTIFICATE = (
    "{server} can't be trusted: its certificate can't be verified.",
    "Check this computer's clock. If your network inspects traffic, set SSL_CERT_FILE and PIP_CERT to the file with "
    "its certificates, then try again.",
)
_INSECURE = (
    "{server} is not encrypted, so pip ignores it.",
    "Change its address in PIP_INDEX_URL to https://, or trust it with PIP_TRUSTED_HOST.",
)
_HASH = (
    "A downloaded file is damaged: its SHA-256 is wrong.",
    "Try again. If that fails too, the network or the index in PIP_INDEX_URL changes files.",
)
_LOCKED = (
    "A file is locked by another program, often an antivirus program.",
    "Wait a moment and try again, or exclude the engine's folder from the antivirus program's scans.",
)
_READ_ONLY = ("The engine's folder can't be written.", "Make the folder writable, then try again.")
_DENIED = (
    "Access to a file or a folder was denied.",
    "The log names it. Give your account full access to it, then try again.",
)

_FIRST = (
    (r"\[Errno 28\]|No space left on device|WinError 112|not enough space on the disk|Disk quota exceeded", _FULL),
    (r"DO NOT MATCH THE HASHES|Hash mismatch", _HASH),
    (r"WinError 32\b|being used by another process|WinError 5\b", _LOCKED),
    (r"\[Errno 30\]|Read-only file system", _READ_ONLY),
    (r"\[Errno 13\]|Permission denied", _DENIED),
)
"""Patterns in a program's output. They explain a failure wherever they stand."""
_OF_NETWORK = (
    (r"ProxyError|407 Proxy|Tunnel connection failed", _PROXY),
    (r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|invalid peer certificate", _CERTIFICATE),
    (r"Connection refused|\[Errno 111\]|\[Errno 61\]|WinError 10061", _REFUSED),
    (
        r"Name or service not known|Temporary failure in name resolution|nodename nor servname|getaddrinfo failed"
        r"|Failed to resolve|Network is unreachable|No route to host|dns error|NewConnectionError",
        _NO_NETWORK,
    ),
    (r"not a trusted or secure host", _INSECURE),
    (r"ReadTimeout|ConnectTimeout|timed out|ConnectionResetError|Connection aborted|IncompleteRead", _SLOW),
)
_STATUS = re.compile(
    r"HTTP error (\d{3})|\b([45]\d\d) (?:Client|Server) Error|status code (\d{3})|too many (\d{3}) error"
)
_NO_MATCH = re.compile(r"No matching distribution found for (\S+)")
# pip calls it a conflict if a constraint names a version that the index lacks.
_CONFLICT = re.compile(r"conflicting dependencies.*requested \(constraint\) (\S+)", re.DOTALL)


def hide_credentials(text: str) -> str:
    """Return a text without the user names and passwords of addresses, such as http://user:password@host/simple."""
    return re.sub(r"\S+", lambda found: _hide_in_word(found[0]), text) if "@" in text else text


def _hide_in_word(word: str) -> str:
    # A password may itself contain / # : and @.
    before, _, after = word.rpartition("@")
    scheme = before.find("://")
    if scheme >= 0:
        return f"{before[: scheme + 3]}…@{after}"
    if ":" in before and not re.match(r"\W*[A-Za-z]:[\\/]", before):  # not a path on Windows
        return re.split(r"[^'\"=,;(<\[]*:", before, maxsplit=1)[0] + f"…@{after}"
    return word


def make_error(message: str, hint: str) -> ThinError:
    """Return the error of an installation that failed."""
    return ThinError(BACKEND_UNAVAILABLE, hide_credentials(message), hide_credentials(hint))


def explain_output(lines: Sequence[str], program: str, server: str = _INDEX, details: Sequence[str] = ()) -> ThinError:
    """Return the error for a program that failed.   lines: its output.   program: its name.

    server: what it downloads from, to begin a sentence with.   details: pip's hidden lines about pages that it could
    not fetch.
    """
    text = "\n".join(lines)
    missing = _NO_MATCH.search(text) or _CONFLICT.search(text)
    refused = _find_status(missing[1], details) if missing else ""
    for patterns in (_FIRST, () if refused else _OF_NETWORK):
        for pattern, explained in patterns:
            if re.search(pattern, text):
                return make_error(explained[0].format(server=server), explained[1])
    if refused:
        return make_status_error(refused, server)
    if status := _STATUS.search(text):
        return make_status_error(next(group for group in status.groups() if group), server)
    if missing:
        return make_error(
            f"The package index has no {missing[1]} for this system and this Python.",
            "Check PIP_INDEX_URL, PIP_NO_INDEX and PIP_CONSTRAINT if you set them. Otherwise look for a newer version "
            "of GKNet Harmonize.",
        )
    complaints = [line.strip() for line in lines if re.match(r"\s*(ERROR|error)\b", line)]
    last = next(iter(complaints or [line.strip() for line in reversed(lines) if line.strip()]), "It printed nothing.")
    return make_error(f"{program} failed. {last}", "Try again. The log has the details.")


def _find_status(requirement: str, details: Sequence[str]) -> str:
    """Return the HTTP status with which an index refused a package's page, "" if none did. 404 means a missing page."""
    found = re.match(r"[\w.-]+", requirement)
    page = "/" + re.sub(r"[-_.]+", "-", found[0] if found else "").lower() + "/"
    statuses = [status for line in details if page in line and (status := _STATUS.search(line))]
    numbers = (next(group for group in status.groups() if group) for status in statuses)
    return next((number for number in numbers if number != "404"), "")


def make_status_error(status: object, server: str = _INDEX) -> ThinError:
    """Return the error for an answer with an HTTP status.   server: who gave it, to begin a sentence with."""
    if str(status) in ("401", "403") and server == _INDEX:
        return make_error(
            f"{server} refused access (error {status}).",
            "Check the user name and password in PIP_INDEX_URL, "
            "PIP_EXTRA_INDEX_URL or GKNET_TORCH_INDEX, and that the proxy (HTTPS_PROXY) "
            "lets the index through. Then try again.",
        )
    return make_error(
        f"{server} answered with error {status}.",
        "Check PIP_INDEX_URL and the proxy settings (HTTPS_PROXY), then try again later.",
    )


def make_hash_error() -> ThinError:
    """Return the error for a file whose SHA-256 is wrong."""
    return make_error(*_HASH)


def make_space_error(folder: Path, needed: int, free: int) -> ThinError:
    """Return the error for too little disk space, both in bytes."""
    return make_error(
        f"The engine needs {format_bytes(needed)} in {folder}, but only {format_bytes(free)} are free.", _FULL[1]
    )


def explain_network_error(error: Exception) -> ThinError:
    """Return the error for an exception of urllib, ssl or a socket."""
    if isinstance(error, urllib.error.HTTPError):
        return make_error(*_PROXY) if error.code == 407 else make_status_error(error.code)
    text = f"{type(error).__name__}: {error}"
    for pattern, explained in _OF_NETWORK:
        if re.search(pattern, text, re.IGNORECASE):
            return make_error(explained[0].format(server=_INDEX), explained[1])
    return make_error(f"The download failed: {error}.", _NO_NETWORK[1])


@contextmanager
def explain_os_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError of work in a folder into a ThinError (`backend_unavailable`)."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise make_error(f"The disk with {folder} is full.", _FULL[1]) from error
        if getattr(error, "winerror", None) in (5, 32):
            raise make_error(*_LOCKED) from error
        path, reason = error.filename or folder, error.strerror or error
        if error.errno == errno.EROFS:
            raise make_error(f"{path} can't be written: {reason}.", _READ_ONLY[1]) from error
        # The error doesn't tell whether it was to be read, written or run.
        hint = "Give your account full access to it and its folder, then try again."
        raise make_error(f"{path} can't be used: {reason}.", hint) from error
