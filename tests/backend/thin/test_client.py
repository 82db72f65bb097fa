"""The client with a backend in a process of its own, which is found, started, lost and found again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from backend.thin import client as client_module
from backend.thin import connection, conversation
from backend.thin.client import READY, STARTING, ThinClient
from backend.thin.protocol import BACKEND_LOST, BACKEND_UNAVAILABLE, CANCELLED, TRIMS, UNSUPPORTED, ThinError

pytestmark = pytest.mark.integration

LONG_S = 60.0
LAYER = {"width": 3, "height": 2, "channels": 4, "depth": "u8", "space": "srgb", "x": 0, "y": 0}
PIXELS = bytes(range(24))
TURNED_ROUND = bytes(255 - value for value in PIXELS)

Install = Callable[..., None]
Pids = Callable[[], list[int]]


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(ThinError) as caught:
        work()
    return caught.value.code


def harmonize(client: ThinClient, model: str | None = None, **more: Any) -> bytes:
    """The answer's pixels; `model` tells the fake backend what to do."""
    return bytes(client.harmonize(LAYER, PIXELS, options={"fit": "f", "model": model}, **more)[1])


@pytest.fixture
def states() -> list[str]:
    return []


@pytest.fixture
def client(path: Path, install: Install, states: list[str]) -> Any:  # noqa: ARG001 (for what the path brings with it)
    install()
    with ThinClient.connect(client=("test", "1"), on_state=states.append) as client:
        yield client


def test_an_older_backend_is_named_as_too_old_for_trims(client: ThinClient) -> None:
    """The fake one speaks 1.0, and would leave them out without a word."""
    for name in TRIMS:
        options = {"fit": "f", name: -5}
        assert code_of(lambda options=options: client.harmonize(LAYER, PIXELS, options=options)) == UNSUPPORTED
        assert client.harmonize(LAYER, PIXELS, options={**options, name: 0})[1] == TURNED_ROUND


def test_an_older_backend_is_named_as_too_old_for_variants(client: ThinClient) -> None:
    options = {"fit": "f", "variant": 2}
    assert code_of(lambda: client.harmonize(LAYER, PIXELS, options=options)) == UNSUPPORTED
    assert client.harmonize(LAYER, PIXELS, options={**options, "variant": 1})[1] == TURNED_ROUND


def test_one_backend_is_started_asked_and_ended(client: ThinClient, path: Path, states: list[str]) -> None:
    assert states == [STARTING, READY]
    told: list[tuple[str, int, int, str]] = []
    assert harmonize(client, on_progress=lambda *what: told.append(what)) == TURNED_ROUND
    assert told == [("apply", 0, 2, "working"), ("apply", 1, 2, "working")]
    with ThinClient.connect(start=False, on_state=states.append) as other:
        assert other.status()["pid"] == client.status()["pid"]
        assert other.backend["limits"]["pixels"] == 100_000_000
    assert states == [STARTING, READY, READY]
    client.shutdown()
    assert not path.exists()
    assert code_of(client.status) == BACKEND_UNAVAILABLE
    assert code_of(client.shutdown) == BACKEND_UNAVAILABLE
    assert code_of(lambda: ThinClient.connect(start=False)) == BACKEND_UNAVAILABLE


def test_the_backend_is_its_own_and_does_not_see_what_the_host_set_for_itself(
    path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH", "GTK_PATH", "GI_TYPELIB_PATH", "APPDIR")
    for name in foreign:
        monkeypatch.setenv(name, "/host")
    monkeypatch.setenv("MINE", "stays")
    install()
    with ThinClient.connect() as client:
        status = client.status()
    environment = status["environment"]
    assert not set(foreign) & set(environment)
    assert (environment["MINE"], environment["PATH"]) == ("stays", os.environ["PATH"])
    assert environment[connection.VARIABLE] == str(path)
    assert status["session"] == status["pid"] != os.getsid(0)
    assert status["folder"] == "/"
    streams = [str(Path(f"/proc/{status['pid']}/fd/{stream}").readlink()) for stream in (0, 1, 2)]
    assert streams[:2] == ["/dev/null", "/dev/null"]
    assert streams[2].endswith("(deleted)")  # a nameless file, for its last words


@pytest.mark.parametrize("content", [b"", b"{}", b'{"host": "127.0.0.1", "port": 4'])
def test_a_damaged_file_leads_to_a_new_backend(path: Path, install: Install, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)
    assert code_of(lambda: ThinClient.connect(start=False)) == BACKEND_UNAVAILABLE
    install()
    with ThinClient.connect() as client:
        assert harmonize(client) == TURNED_ROUND


def test_the_command_that_starts_a_backend_can_be_given(path: Path, install: Install, pids: Pids) -> None:
    install("dies")
    fake = [sys.executable, str(Path(__file__).with_name("fake_backend.py")), "normal"]
    with ThinClient.connect(command=fake) as client:
        assert harmonize(client) == TURNED_ROUND
        os.kill(client.status()["pid"], signal.SIGKILL)
        time.sleep(0.1)
        assert harmonize(client) == TURNED_ROUND
    assert len(pids()) == 2
    assert path.exists()


@pytest.mark.parametrize("wanted", [MemoryError(), KeyboardInterrupt(), ZeroDivisionError()])
def test_what_progress_raises_comes_out_and_the_next_request_works(client: ThinClient, wanted: BaseException) -> None:
    def refuse(*_: object) -> None:
        raise wanted

    with pytest.raises(type(wanted)) as caught:
        harmonize(client, on_progress=refuse)
    assert caught.value is wanted
    assert harmonize(client) == TURNED_ROUND


@pytest.mark.parametrize("listener", ["nobody", "stranger", "silence"])
def test_a_file_whose_backend_is_gone_leads_to_a_new_one(
    path: Path,
    install: Install,
    peer: Callable[[Callable[[socket.socket], object]], int],
    monkeypatch: pytest.MonkeyPatch,
    listener: str,
) -> None:
    monkeypatch.setattr(client_module, "HELLO_S", 0.3)
    monkeypatch.setattr(client_module, "LOOK_S", 0.5)
    port = peer((lambda stream: stream.sendall(b"220 mail.example\r\n")) if listener == "stranger" else bool)
    if listener == "nobody":
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
    path.touch(0o600)
    key = "0" * 64
    path.write_text(f'{{"host": "127.0.0.1", "port": {port}, "key": "{key}", "proof_key": "{key}"}}')
    assert code_of(lambda: ThinClient.connect(start=False)) == BACKEND_UNAVAILABLE
    install()
    with ThinClient.connect() as client:
        assert harmonize(client) == TURNED_ROUND


def test_a_file_that_others_can_read_is_not_used_and_nothing_is_started(path: Path, install: Install) -> None:
    install()
    path.touch()
    path.chmod(0o644)
    assert code_of(ThinClient.connect) == BACKEND_UNAVAILABLE
    assert not path.with_name("pids").exists()


@pytest.mark.parametrize("role", ["dies", "never", "mute", "liar"])
def test_a_backend_that_cannot_be_started_is_an_error(
    install: Install, pids: Pids, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setattr(client_module, "START_S", 1.0)
    monkeypatch.setattr(client_module, "LOOK_S", 0.3)
    install(role)
    with pytest.raises(ThinError) as caught:
        ThinClient.connect()
    assert caught.value.code == BACKEND_UNAVAILABLE
    assert f"fake_backend.py {role}" in caught.value.hint
    assert len(pids()) == 1


def test_a_backend_that_dies_is_started_again_and_asked_once_more(client: ThinClient, states: list[str]) -> None:
    start = time.monotonic()
    assert code_of(lambda: harmonize(client, "exit", again=False)) == BACKEND_LOST
    assert time.monotonic() - start < 2.0
    assert states == [STARTING, READY]
    assert harmonize(client) == TURNED_ROUND
    assert states == [STARTING, READY] * 2


def test_a_request_that_is_lost_is_repeated_once(client: ThinClient, pids: Pids) -> None:
    assert harmonize(client, "exit-once") == TURNED_ROUND
    assert client.status()["starts"] == 2
    assert code_of(lambda: harmonize(client, "exit")) == BACKEND_LOST
    assert len(pids()) == 3


def test_a_client_that_may_not_start_one_does_not(client: ThinClient, pids: Pids) -> None:
    with ThinClient.connect(start=False) as other:
        assert code_of(lambda: harmonize(other, "exit")) == BACKEND_UNAVAILABLE
    assert code_of(client.status) == BACKEND_UNAVAILABLE
    assert len(pids()) == 1


def test_a_backend_that_ended_between_two_requests_is_started_again(client: ThinClient) -> None:
    os.kill(client.status()["pid"], signal.SIGKILL)
    time.sleep(0.1)
    assert harmonize(client, again=False) == TURNED_ROUND


def test_a_backend_that_stands_still_is_lost(client: ThinClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PING_AFTER_S", 0.1)
    monkeypatch.setattr(conversation, "LOST_AFTER_S", 0.5)
    start = time.monotonic()
    assert code_of(lambda: harmonize(client, "stop", again=False)) == BACKEND_LOST
    assert 0.5 <= time.monotonic() - start < 10.0


def test_a_backend_that_is_busy_is_not_lost(client: ThinClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PING_AFTER_S", 0.1)
    monkeypatch.setattr(conversation, "LOST_AFTER_S", 0.5)
    assert harmonize(client, "busy", again=False) == TURNED_ROUND


def test_a_request_can_be_cancelled_and_the_next_one_works(
    client: ThinClient, monkeypatch: pytest.MonkeyPatch, aside: Callable[..., Future[Any]]
) -> None:
    cancel = threading.Event()
    asking = aside(harmonize, client, "wait", is_cancelled=cancel.is_set, on_progress=lambda *_: cancel.set())
    error = asking.exception(LONG_S)
    assert isinstance(error, ThinError)
    assert error.code == CANCELLED
    assert harmonize(client) == TURNED_ROUND
    monkeypatch.setattr(conversation, "CANCEL_S", 0.2)
    assert code_of(lambda: harmonize(client, "deaf", is_cancelled=lambda: True)) == CANCELLED
    assert harmonize(client) == TURNED_ROUND
    assert client.status()["starts"] == 1


def test_a_start_can_be_cancelled(path: Path, install: Install) -> None:
    install("never")
    assert code_of(lambda: ThinClient.connect(is_cancelled=path.with_name("pids").exists)) == CANCELLED


def test_a_large_layer_goes_there_and_back_with_selection_and_reference(client: ThinClient) -> None:
    layer = {**LAYER, "width": 2048, "height": 1536, "depth": "f32"}
    pixels = os.urandom(2**20) * 48
    reference = {"width": 1024, "height": 768, "channels": 3, "depth": "u8", "space": "srgb"}
    result, back = client.harmonize(
        layer, pixels, reference, bytes(1024 * 768 * 3), selection=bytearray(2048 * 1536), options={"strength": 1.0}
    )
    assert result["asked"] == [48 * 2**20, 1024 * 768 * 3, 2048 * 1536]
    assert back == pixels.translate(bytes(255 - value for value in range(256)))


def test_an_answer_takes_the_place_of_the_layer(client: ThinClient) -> None:
    layer = {**LAYER, "width": 1000, "height": 700}
    pixels = bytearray(range(256)) * 10937 + bytearray(128)
    turned_round = bytes(255 - value for value in pixels)
    answered = client.harmonize(layer, pixels, options={"fit": "f"}, into=pixels)[1]
    assert answered is pixels
    assert pixels == turned_round
    assert harmonize(client) == TURNED_ROUND


def test_a_request_is_repeated_as_long_as_no_answer_took_the_place_of_its_layer(
    client: ThinClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = bytearray(PIXELS)
    answered = client.harmonize(LAYER, pixels, options={"fit": "f", "model": "exit-once"}, into=pixels)[1]
    assert answered is pixels
    assert pixels == TURNED_ROUND
    answers: list[int] = []
    ask = conversation.Conversation.ask

    def lost_at_the_end(self: conversation.Conversation, *request: Any, **more: Any) -> Any:
        answers.append(len(ask(self, *request, **more)[1]))
        raise ThinError(BACKEND_LOST, "It went away when all but its last byte was there.")

    monkeypatch.setattr(conversation.Conversation, "ask", lost_at_the_end)
    pixels[:] = PIXELS
    assert code_of(lambda: client.harmonize(LAYER, pixels, options={"fit": "f"}, into=pixels)) == BACKEND_LOST
    assert answers == [1]
    assert code_of(lambda: harmonize(client)) == BACKEND_LOST
    assert answers == [1, 1, 1]


def test_a_closed_client_opens_again_when_asked(client: ThinClient) -> None:
    client.close()
    client.close()
    assert client.status()["starts"] == 1
