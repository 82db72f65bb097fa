"""What pip and uv print when they fail becomes one sentence and what to do about it."""

from __future__ import annotations

import errno
import socket
import ssl
import urllib.error
from email.message import Message
from pathlib import Path

import pytest

from backend.thin.engine.failures import explain_network_error, explain_os_errors, explain_output
from backend.thin.protocol import BACKEND_UNAVAILABLE, ThinError

RETRY = "WARNING: Retrying (Retry(total=0)) after connection broken by '{}': /simple/torch/"
NO_TORCH = "ERROR: No matching distribution found for torch==9.9"


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        (["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"], "full", "Free"),
        (["OSError: [WinError 112] There is not enough space on the disk"], "full", "Free"),
        (["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."], "SHA-256", "Try again"),
        (["PermissionError: [WinError 32] The process cannot access the file"], "locked", "antivirus"),
        (["ERROR: [Errno 30] Read-only file system: '/x'"], "can't be written", "writable"),
        (["ERROR: [Errno 13] Permission denied: '/x'"], "Access to a file or a folder was denied", "The log names it"),
        (
            [RETRY.format("NewConnectionError: Name or service not known"), NO_TORCH],
            "no connection",
            "PROXY",
        ),
        ([RETRY.format("NewConnectionError: getaddrinfo failed"), NO_TORCH], "no connection", "internet"),
        ([RETRY.format("NewConnectionError: [Errno 111] Connection refused"), NO_TORCH], "refused", "firewall"),
        ([RETRY.format("NewConnectionError: [WinError 10061]"), NO_TORCH], "refused", "firewall"),
        ([RETRY.format("ProxyError('Cannot connect to proxy.')"), NO_TORCH], "proxy", "HTTPS_PROXY"),
        ([RETRY.format("SSLError(SSLCertVerificationError(1, ''))"), NO_TORCH], "certificate", "SSL_CERT_FILE"),
        ([RETRY.format("ReadTimeoutError"), NO_TORCH], "in time", "Check"),
        (["ERROR: HTTP error 404 while getting https://x/torch.whl"], "error 404", "PIP_INDEX_URL"),
        (["ERROR: 403 Client Error: Forbidden for url: https://x"], "error 403", "PIP_INDEX_URL"),
        ([NO_TORCH], "has no torch==9.9", "newer version"),
        (
            [
                "ERROR: Cannot install gknet because these package versions have conflicting dependencies.",
                "    gknet depends on leaf",
                "    The user requested (constraint) leaf==1.0",
            ],
            "has no leaf==1.0",
            "PIP_CONSTRAINT",
        ),
        (["noise", "ERROR: Something new", "more noise"], "Something new", "log"),
        ([], "printed nothing", "log"),
    ],
)
def test_each_failure_of_a_program(lines: list[str], message: str, hint: str) -> None:
    error = explain_output(lines, "pip")
    assert error.code == BACKEND_UNAVAILABLE
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("403 Client Error: Forbidden for url: http://x/torch/", "refused access (error 403)"),
        ("Max retries (Caused by ResponseError('too many 500 error responses'))", "answered with error 500"),
        ("502 Server Error: Bad Gateway for url: http://x/torch/", "answered with error 502"),
        ("404 Client Error: Not Found for url: http://x/torch/", "has no torch==9.9"),
    ],
)
def test_the_status_that_pip_hides(reason: str, message: str) -> None:
    details = ["Could not fetch URL http://x/other/: 401 Client Error: Unauthorized - skipping"]
    assert "has no torch" in explain_output([NO_TORCH], "pip", details=details).message
    details.append(f"Could not fetch URL http://x/torch/: {reason} - skipping")
    assert message in explain_output([NO_TORCH], "pip", details=details).message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (urllib.error.URLError(socket.gaierror(-2, "Name or service not known")), "no connection"),
        (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), "refused"),
        (urllib.error.URLError(ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED")), "certificate"),
        (urllib.error.HTTPError("https://x", 404, "Not Found", Message(), None), "error 404"),
        (urllib.error.HTTPError("https://x", 401, "", Message(), None), "refused access"),
        (urllib.error.HTTPError("https://x", 407, "", Message(), None), "proxy"),
        (TimeoutError("timed out"), "in time"),
        (ValueError("strange"), "strange"),
    ],
)
def test_each_failure_of_a_download(error: Exception, message: str) -> None:
    assert message in explain_network_error(error).message


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "is full"), (errno.EROFS, "can't be written"), (errno.EACCES, "/data/file can't be used: text")],
)
def test_each_failure_of_the_disk(number: int, message: str) -> None:
    with pytest.raises(ThinError, match=message) as caught, explain_os_errors(Path("/data")):
        raise OSError(number, "text", "/data/file")
    assert caught.value.hint
