"""What the user's computer is set to, and what programs print besides their answers, never spoils an installation."""

from __future__ import annotations

import base64
import http.server
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.thin.engine import pythons
from backend.thin.engine.attempt import Attempt, Progress
from backend.thin.engine.environment import Sources, check_engine
from backend.thin.engine.failures import hide_credentials
from backend.thin.engine.fetch import fetch
from backend.thin.engine.installer import Wishes, install_engine
from backend.thin.engine.settings import IndexSettings, read_index_settings
from backend.thin.engine.switch import CPU, Engine
from backend.thin.engine.wheel import open_wheel
from backend.thin.protocol import ThinError

from .conftest import FINE, Place, build_project_wheel

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts"),
]


def make_program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def make_engine(home: Path, script: str) -> Engine:
    """An engine whose Python is a script."""
    engine = Engine(home, "made", "0.1.0", CPU, "0" * 64)
    make_program(engine.python, script)
    return engine


NOISE = "[W123 NNPACK.cpp:64] Could not initialize NNPACK! Reason: [Unsupported hardware]"
DEEP = "head -c 3000 /dev/zero | tr '\\0' '['"
"""Prints what is nested too deeply to be read."""


@pytest.mark.parametrize("redirection", ["", " >&2"])
def test_lines_around_the_answer_of_doctor_are_only_logged(tmp_path: Path, redirection: str) -> None:
    print_noise = f"echo '{NOISE}'{redirection}"
    answer = f"echo '{json.dumps(FINE)}'"
    log = tmp_path / "log"
    attempt = Attempt()
    attempt.open_log(log)
    check_engine(make_engine(tmp_path, f"{print_noise}\n{answer}\n{print_noise}"), attempt, {})
    attempt.close_log()
    assert log.read_text(encoding="utf-8").count(NOISE) == 2
    assert "weights" in log.read_text(encoding="utf-8")
    broken = answer.replace("fine", "error")
    with pytest.raises(ThinError, match=r"does not work: matches"):
        check_engine(make_engine(tmp_path, f"{print_noise}\n{broken}\n{print_noise}\nexit 1"), attempt, {})
    for unreadable in ("echo '[3]'", DEEP):
        with pytest.raises(ThinError, match="can't be read"):
            check_engine(make_engine(tmp_path, f"{print_noise}\n{unreadable}"), attempt, {})
    with pytest.raises(ThinError, match=r"status 3\. last words"):
        check_engine(make_engine(tmp_path, "echo last words >&2; exit 3"), attempt, {})


def test_a_python_with_a_strange_answer_is_passed_over(tmp_path: Path) -> None:
    program = make_program(tmp_path / "python3", DEEP)
    assert pythons.check_python(program, Attempt(), {})


def test_a_python_that_warns_is_used(tmp_path: Path) -> None:
    program = make_program(tmp_path / "python3", f'"{sys.executable}" "$@"\necho warning >&2')
    assert pythons.check_python(program, Attempt(), {}) == ""


ELSEWHERE = """
[global]
require-virtualenv = true
python = /nonexistent/python
quiet = 3
[install]
target = {0}/target
prefix = {0}/prefix
root = {0}/root
report = {0}/report.json
dry-run = true
no-deps = true
no-dependencies = true
user = true
"""


@pytest.mark.parametrize("is_offline", [False, True])
def test_settings_that_put_packages_elsewhere_have_no_effect(
    place: Place, monkeypatch: pytest.MonkeyPatch, is_offline: bool
) -> None:
    settings = place.folder / "pip.conf"
    settings.write_text(ELSEWHERE.format(place.folder / "elsewhere"), encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_NO_DEPENDENCIES", "1")
    (place.folder / "none.txt").touch()  # instead of what this computer's own settings may name
    monkeypatch.setenv("PIP_CONSTRAINT", str(place.folder / "none.txt"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", place.index.address)
    wheels = place.folder / "all wheels"
    wheels.mkdir()
    for name, content in place.index.files.items():
        (wheels / name).write_bytes(content)
    engine = install_engine(place.wish(sources=Sources(offline=wheels if is_offline else None)), Attempt())
    assert len(list(engine.path.glob("lib/python3*/site-packages/leaf.py"))) == 1
    assert not (place.folder / "elsewhere").exists()


def test_a_wheel_with_any_damaged_byte_is_called_damaged(tmp_path: Path) -> None:
    path = build_project_wheel(tmp_path)
    content = path.read_bytes()
    text = open_wheel(path).read_constraints()
    messages = set()
    for position in range(len(content)):
        for value in (1, 14, 93):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                assert open_wheel(path).read_constraints() == text
            except ThinError as error:
                messages.add(error.message.partition(f"{path} ")[2].partition(":")[0])
    assert messages == {"is damaged"}


HEADER = "Basic " + base64.b64encode(b"user:s/cret").decode()


class Server:
    """A server that redirects /to/ADDRESS to that address.   asked: each path with the header Authorization."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("Authorization", "")))
                self.send_response(302 if self.path.startswith("/to/") else 200)
                self.send_header("Location", self.path[len("/to/") :])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server(), Server()
    yield made
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def test_a_password_is_sent_to_the_server_of_the_index_alone(servers: tuple[Server, Server]) -> None:
    index, other = servers
    settings = IndexSettings(f"http://user:s%2Fcret@{index.host}/simple", "", "")

    def get(address: str) -> None:
        fetch(address, settings, Attempt(), on_chunk=lambda _: None)

    get(f"{settings.index}/uv/")
    get(f"http://{index.host}/files/uv.whl")
    get(f"http://{index.host}/to/http://{index.host}/same")
    assert [header for _, header in index.asked] == [HEADER] * 4
    get(f"http://{index.host}/to/http://{other.host}/other")
    get(f"http://user:s%2Fcret@{index.host}/to/http://{other.host}/other")
    get(f"http://{other.host}/files/uv.whl")
    assert [header for _, header in other.asked] == [""] * 3
    get(f"http://{other.host}/to/http://{index.host}/back")
    assert index.asked[-1] == ("/back", HEADER)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (
            "Looking in indexes: https://me:geheim@host/simple, http://x",
            "Looking in indexes: https://…@host/simple, http://x",
        ),
        ("'http://user:geheim/47#11@host:1/simple'", "'http://…@host:1/simple'"),
        ("https://geheim@host", "https://…@host"),
        ("http://u:geh@eim@host", "http://…@host"),
        ("url='me:geheim@host/simple'", "url='…@host/simple'"),
        ("me:geheim@host/simple", "…@host/simple"),
        ("C:\\Users\\me@home\\x: write to a@b.org at 12:30", "C:\\Users\\me@home\\x: write to a@b.org at 12:30"),
    ],
)
def test_passwords_are_hidden(tmp_path: Path, text: str, hidden: str) -> None:
    assert hide_credentials(text) == hidden
    log = tmp_path / "log"
    log.touch(0o644)
    attempt = Attempt()
    attempt.log(text)
    attempt.open_log(log)
    attempt.log(text)
    attempt.close_log()
    assert log.read_text(encoding="utf-8").count(hidden) == 2
    assert "geheim" not in log.read_text(encoding="utf-8")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_the_additional_index_is_neither_logged_nor_on_the_command_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = next(name for name in place.index.files if name.startswith("torch"))
    monkeypatch.setenv("GKNET_TORCH_INDEX", place.index.address.replace("//", "//me:geheim@"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", place.index.address.replace("//", "//also:geheim@"))
    monkeypatch.setenv("PIP_INDEX_URL", place.index.address.replace("simple", "absent"))
    install_engine(place.wish(), Attempt())
    assert any(torch in path for path in place.index.asked)
    log = place.read_log()
    assert "geheim" not in log
    assert "--extra-index-url" not in log
    looked = next(line for line in log.splitlines() if "Looking in indexes" in line)
    assert looked.count("http://…@127.0.0.1") == 2
    assert len(looked.split(",")) == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PIP_INDEX_URL", "http://[geheim/simple", "The address in PIP_INDEX_URL is invalid"),
        ("PIP_INDEX_URL", "me:geheim@host/simple", "The address in PIP_INDEX_URL is invalid"),
        ("PIP_INDEX_URL", "http://me:geheim/4711@host/simple", "The address in PIP_INDEX_URL is invalid"),
        ("PIP_INDEX_URL", "http://me:4711#geheim@host/simple", "The address in PIP_INDEX_URL is invalid"),
        ("PIP_EXTRA_INDEX_URL", "https://x http://[geheim", "The address in PIP_EXTRA_INDEX_URL is invalid"),
        ("GKNET_TORCH_INDEX", "http://me:geheim/1@host", "The address in GKNET_TORCH_INDEX is invalid"),
        ("PIP_PROXY", "http://user:geheim/4711@host:80", "The address in PIP_PROXY is invalid"),
        ("https_proxy", "user:4711/geheim@host:80", "The address in https_proxy is invalid"),
        ("PIP_NO_INDEX", "1", "PIP_NO_INDEX forbids"),
        ("PIP_REQUIRE_HASHES", "true", "PIP_REQUIRE_HASHES requires hashes"),
        ("PIP_CERT", "/absent.pem", r"PIP_CERT, /absent\.pem, does not exist"),
        ("PIP_CERT", f"{sys.executable}/ca.pem", r"PIP_CERT, .*/ca\.pem, can't be read: Not a directory"),
        ("PIP_CERT", "~nosuchuser/ca.pem", r"PIP_CERT, ~nosuchuser/ca\.pem, does not exist"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    if name == "GKNET_TORCH_INDEX" and sys.platform == "darwin":
        pytest.skip("PyTorch for macOS comes from the usual index")
    monkeypatch.setenv(name, value)
    with pytest.raises(ThinError, match=message) as caught:
        install_engine(place.wish(), Attempt())
    assert caught.value.hint
    assert "geheim" not in str(caught.value) + place.read_log()


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"])
@pytest.mark.parametrize(
    "rest",
    [
        *("user:4711/4712@host/simple", "me@corp.org:4711/4712@host", "user:4711?4712@host"),
        *("us/er:s4712@127.0.0.1/simple", "us?er:s4712@host/simple", "me@corp.org/x:s4712@host"),
        *("user:p@s4712/word@host/simple", "user:p@s4712?word@host", "user:s4712@host:8080/feed@view"),
    ],
)
def test_a_name_or_a_password_that_ends_too_early_must_be_encoded(name: str, rest: str) -> None:
    with pytest.raises(ThinError, match=f"The address in {name} has a “/” or “\\?” before its “@”") as caught:
        read_index_settings({"PIP_CONFIG_FILE": os.devnull, name: f"https://{rest}"})
    assert "write %25 for %, %2F for /" in caught.value.hint
    assert "471" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("https://host/simple", "https://host:8080/simple", "https://user:4711%2F4712@host:8080/simple"),
        *("https://me@corp.org:p@ss@host:8080/simple", "https://token@host/feed@view/simple", "https://host/a@b?c=d@e"),
        *("https://user:4711@host:8080/a%40b", "https://host/a:b", "https://[::1]:8080/simple", "file:///C:/a@b"),
    ],
)
def test_an_address_with_a_good_password_or_without_one_is_taken(address: str) -> None:
    environment = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": address, "PIP_FIND_LINKS": f"{address} /a@b"}
    assert read_index_settings(environment).index == address


@pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may read everything")
def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch(0)
    with pytest.raises(ThinError, match=r"PIP_CERT, .*/ca\.pem, can't be read: Permission denied") as caught:
        read_index_settings({"PIP_CONFIG_FILE": os.devnull, "PIP_CERT": str(tmp_path / "ca.pem")})
    assert "readable" in caught.value.hint


def test_settings_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path), "PIP_CONFIG_FILE": str(file)}
    file.write_text("\n[global\nindex-url = http://me:geheim@host\n", encoding="utf-8")
    with pytest.raises(ThinError, match=r"pip\.conf can't be read from line 2 on") as caught:
        read_index_settings(environment)
    assert "geheim" not in str(caught.value)
    file.write_text("[global]\nindex-url = a\nnonsense\n", encoding="utf-8")
    with pytest.raises(ThinError, match=r"pip\.conf can't be read from line 3 on"):
        read_index_settings(environment)
    file.write_text("[install]\nrequire-hashes = yes\n", encoding="utf-8")
    with pytest.raises(ThinError, match=r"require-hashes in .*pip\.conf requires hashes"):
        read_index_settings(environment)


def test_a_folder_with_a_colon_is_refused_before_anything_is_looked_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(place.folder / "a:b"))
    reports: list[Progress] = []
    with pytest.raises(ThinError, match="because that path contains “:”") as caught:
        install_engine(Wishes(place.wheel), Attempt(reports.append))
    assert "XDG_DATA_HOME" in caught.value.hint
    assert reports == []


WITHOUT_SSL = """
import sys
sys.modules["ssl"] = sys.modules["_ssl"] = None
from backend.thin.engine import offer
from backend.thin.engine.attempt import Attempt, Progress
from backend.thin.engine.fetch import fetch
from backend.thin.engine.settings import IndexSettings
fetch("https://127.0.0.1:9/", IndexSettings("https://host", "", ""), Attempt(), on_chunk=print)
"""


def test_a_host_without_ssl_loads_the_plug_in_and_gets_a_clear_error() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_SSL], capture_output=True, text=True, check=False)
    assert "ThinError: This program's Python can't make encrypted connections: it lacks the module ssl." in done.stderr


@pytest.mark.parametrize(
    ("status", "message"), [(401, r"refused access \(error 401\)"), (503, "answered with error 503")]
)
def test_the_status_of_the_index_is_told(place: Place, status: int, message: str) -> None:
    place.index.status = status
    with pytest.raises(ThinError, match=message):
        install_engine(place.wish(), Attempt())
    assert "Could not fetch URL" in place.read_log()
