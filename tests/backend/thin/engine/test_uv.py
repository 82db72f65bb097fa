"""A computer without Python: uv is fetched from the index, checked, and asked for one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from backend.thin.engine import fetch, installer, pythons
from backend.thin.engine.attempt import Attempt, Progress
from backend.thin.engine.installer import Wishes, install_engine, is_in_use
from backend.thin.engine.settings import IndexSettings
from backend.thin.protocol import CANCELLED, ThinError

from .conftest import Index, Place, build_wheel

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="the program in place of uv is a shell script"),
]

WHEEL = f"uv-1.0-py3-none-manylinux_2_17_{platform.machine()}.whl"
PROGRAM = f"""#!/bin/sh
[ "$1 $2 $3" = "python install 3.13" ] || exit 9
mkdir -p "$5/cpython-3.13.1-linux/bin"
ln -s {sys.executable} "$5/cpython-3.13.1-linux/bin/python3"
"""
FAILS = "#!/bin/sh\necho 'error: error sending request for url: dns error'\nexit 2\n"


@pytest.fixture
def without_python(place: Place, monkeypatch: pytest.MonkeyPatch) -> Wishes:
    monkeypatch.setattr(pythons, "list_candidates", lambda _: [])
    offer(place.index, PROGRAM)
    return Wishes(place.wheel)


def offer(index: Index, program: str) -> None:
    index.files[WHEEL] = build_wheel("uv", "1.0", {"uv-1.0.data/scripts/uv": program})


def fail(place: Place, wishes: Wishes, message: str) -> None:
    with pytest.raises(ThinError, match=message) as caught:
        install_engine(wishes, Attempt())
    assert caught.value.hint
    assert place.list() == set()


def test_uv_provides_a_python_inside_the_engine(
    place: Place, without_python: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[Path] = []
    copy = installer.make_environment

    def watch(folder: Path, python: Path, *rest: object) -> None:
        chosen.append(python)
        copy(folder, python, *rest)

    monkeypatch.setattr(installer, "make_environment", watch)
    reports: list[Progress] = []
    engine = install_engine(without_python, Attempt(reports.append))
    assert chosen == [engine.path / "python/cpython-3.13.1-linux/bin/python3"]
    assert place.list() == {"0.1.0", "current.json"}
    (size,) = {one.bytes_total for one in reports if one.text.startswith("Downloading uv")}
    assert size == len(place.index.files[WHEEL])


@pytest.mark.parametrize("accept", ["json", "html"])
def test_a_wrong_hash_is_refused(
    place: Place, without_python: Wishes, accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if accept == "html":
        monkeypatch.setattr("backend.thin.engine.uv.ACCEPT", "text/html")
    place.index.damaged.add(WHEEL)
    fail(place, without_python, "SHA-256 is wrong")


def test_no_python_and_no_uv(place: Place, without_python: Wishes) -> None:
    offer(place.index, FAILS)
    fail(
        place, without_python, "uv can't provide one. The download server for Python can't be reached: .* no connection"
    )
    del place.index.files[WHEEL]
    fail(place, without_python, "error 404")
    place.index.close()
    fail(place, without_python, "refused")


def test_an_address_that_cannot_be_understood(
    place: Place, without_python: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://[host/simple")
    fail(place, without_python, "The address in PIP_INDEX_URL is invalid")


def test_a_page_that_is_damaged(place: Place, without_python: Wishes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.index, "_answer", lambda *_: (200, "text/html", b'{"files": 3}'))
    fail(place, without_python, "can't be read")


def test_without_network_and_python_the_error_says_how_to_get_one(place: Place, without_python: Wishes) -> None:
    wishes = Wishes(without_python.wheel, installer.Sources(offline=place.folder))
    with pytest.raises(ThinError, match=r"No Python 3\.11 to 3\.14") as caught:
        install_engine(wishes, Attempt())
    assert "python.org" in caught.value.hint


def test_a_slow_download_is_cancelled_at_once(place: Place, without_python: Wishes) -> None:
    place.index.slow_s = 30
    is_cancelled = threading.Event()
    threading.Timer(0.3, is_cancelled.set).start()
    start = time.monotonic()
    with pytest.raises(ThinError) as caught:
        install_engine(without_python, Attempt(is_cancelled=is_cancelled.is_set))
    assert caught.value.code == CANCELLED
    assert time.monotonic() - start < 10
    assert place.list() == set()


def test_a_password_in_the_address_is_sent_but_not_logged(place: Place) -> None:
    attempt = Attempt()
    address = place.index.address.replace("http://", "http://user:s%40cret@") + "/leaf/"
    asked: list[str] = []
    settings = IndexSettings(place.index.address, "", "")
    request = fetch.build_request(address, settings, "*/*")
    assert request.get_header("Authorization") == "Basic dXNlcjpzQGNyZXQ="
    fetch.fetch(address, settings, attempt, on_chunk=lambda chunk: asked.append(chunk.decode()))
    assert "leaf-1.0" in asked[0]
    assert not any("cret" in line for line in attempt._lines)


INSTALLER = """
import sys
from pathlib import Path
from backend.thin.engine import children
from backend.thin.engine.attempt import Attempt
children.run_program(children.build_program_command(Path(sys.argv[1]), "one word", "$HOME"), Attempt(), {})
"""


def is_group_alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("is_killed", [True, False])
def test_uv_ends_with_a_killed_installer(tmp_path: Path, is_killed: bool) -> None:
    program, started, done = tmp_path / "uv", tmp_path / "started", tmp_path / "done"
    program.write_text(
        f'#!/bin/sh\necho "$$ $1 $2" > {started}\n/bin/sleep {30 if is_killed else 0.3}\ntouch {done}\nexit 7\n'
    )
    program.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", INSTALLER, str(program)], stderr=subprocess.PIPE) as running:
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        if is_killed:
            running.kill()
        _, complaints = running.communicate(timeout=30)
    pid, _, words = started.read_text().strip().partition(" ")
    assert words == "one word $HOME"
    deadline = time.monotonic() + 10  # the system's first process may take seconds to notice that they ended
    while is_in_use(tmp_path) or is_group_alive(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert done.exists() != is_killed
    assert is_killed or b"ProgramError: 7" in complaints
