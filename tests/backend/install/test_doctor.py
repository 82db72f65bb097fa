"""`gknet doctor` names the fault in each of a dozen broken set-ups, and finds none in a sound one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

import gknet
from backend.cli import main
from backend.install import programs
from backend.install.doctor import OLDEST_PYTHON, plug_ins
from backend.install.doctor.finding import Finding, format_json, format_text
from backend.thin import installed
from backend.thin.engine.switch import Engine, switch_to
from tests.backend.real_backend import Backend

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
OTHER_USER = 65534
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
CHECK = """
import sys
from backend.install.doctor import running
from backend.install.doctor.finding import format_json
findings = list(getattr(running, sys.argv[1])())
print(format_json(findings))
sys.exit(any(finding.state == "error" for finding in findings))
"""
"""A program that makes one of doctor's checks, the first argument."""


class Setup:
    """A user's home, folder for the connection file included, in which `gknet doctor` is asked.

    command: the words that start `gknet` in a process of its own; None to run it in this one.
    """

    def __init__(self, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.connection = home / "run" / "backend.json"
        self.connection.parent.mkdir(mode=0o700)
        self.command: list[str] | None = None
        self.python_path = ""
        self._capfd = capfd

    def gknet(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        if self.command is None:
            with pytest.raises(SystemExit) as ended:
                main(list(words))
            return int(ended.value.code or 0), *self._capfd.readouterr()
        done = subprocess.run(
            [*self.command, *words],
            cwd=self.home,
            env={**os.environ, "PYTHONPATH": self.python_path or os.environ.get("PYTHONPATH", "")},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    def doctor(self, *words: str) -> tuple[int, list[Finding]]:
        """Exit code and what it found."""
        code, out, err = self.gknet("doctor", "--json", *words)
        assert err == ""
        findings = [Finding(**found) for found in json.loads(out)]
        assert code == int(any(finding.state == "error" for finding in findings))
        assert all(finding.remedy for finding in findings if finding.state != "fine")
        return code, findings

    def names(self, state: str, subject: str, *words: str, arguments: tuple[str, ...] = ()) -> None:
        """Asserts that a finding of this state and subject holds all these words."""
        _, findings = self.doctor(*arguments)
        found = [finding.text for finding in findings if (finding.state, finding.subject) == (state, subject)]
        assert any(all(word in text for word in words) for text in found), findings


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Setup:
    for name in [name for name in os.environ if name.startswith(("XDG_", "GIMP3", "GKNET_"))]:
        monkeypatch.delenv(name)
    setup = Setup(tmp_path, capfd)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GKNET_CONNECTION", str(setup.connection))
    return setup


@pytest.fixture
def krita_there(setup: Setup) -> None:
    """A program of that name, as an AppImage is found."""
    (setup.home / "Applications").mkdir()
    (setup.home / "Applications" / "krita-5.2.9-x86_64.AppImage").touch(mode=0o755)


def test_a_host_newer_than_the_tested_ones_is_warned_of(setup: Setup) -> None:
    (setup.home / "Applications").mkdir()
    (setup.home / "Applications" / "krita-9.1.0-x86_64.AppImage").touch(mode=0o755)
    setup.names("warning", "Krita", "9.1.0", "newer than", programs.NEWEST_TESTED["Krita"])


@pytest.fixture
def squatter() -> Iterator[int]:
    """A program that took a port and answers there with something else; the port."""
    program = (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\n"
        "while True: s.accept()[0].sendall(b'HTTP/1.1 400 Bad Request\\r\\n\\r\\n')"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield int(process.stdout.readline())
    process.kill()
    process.communicate()


def write_connection(setup: Setup, port: int) -> None:
    said = {"host": "127.0.0.1", "port": port, "key": "a" * 64, "proof_key": "b" * 64, "pid": 1, "version": "0"}
    setup.connection.write_text(json.dumps(said))
    setup.connection.chmod(0o600)


def namespace(script: str) -> list[str]:
    """Words that look at this user's folders after a script, in mounts of their own; skips where that is not allowed.

    They print what `gknet doctor --json` does, but only of the folders: the rest takes seconds, to import torch.
    """
    unshare = ["unshare", "--mount", *([] if IS_ROOT else ["--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system allows no mounts of a test's own")
    return [*unshare, "sh", "-ec", f'{script}\nexec "$@"', "sh", sys.executable, "-c", CHECK, "check_folders"]


@pytest.mark.usefixtures("krita_there")
def test_a_sound_setup_has_no_error(setup: Setup) -> None:
    setup.gknet("install", "krita")
    backend = Backend(setup.home)
    setup.command = [sys.executable, "-m", "backend"]
    try:
        code, findings = setup.doctor()
    finally:
        backend.end()
    assert code == 0, findings
    told = {finding.subject: finding for finding in findings if finding.subject != "GIMP plug-in"}
    for subject in ("Python", "libraries", "device", "weights", "backend", "Krita", "Krita plug-in"):
        assert told[subject].state != "error", told[subject]
    assert str(backend.process.pid) in told["backend"].text
    assert "~/" in told["Krita plug-in"].text


def test_no_torch(setup: Setup) -> None:
    """An environment in which nothing is installed: not even the command's own libraries."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", setup.home / "bare"], check=True)
    setup.command = [str(setup.home / "bare" / "bin" / "python"), "-m", "backend"]
    setup.python_path = str(ROOT)
    setup.names("error", "torch", "No module named 'torch'")
    setup.names("error", "libraries", "numpy", "zmq", "filelock")
    code, _, err = setup.gknet("info")
    assert code == 2
    assert "gknet doctor" in err


def test_a_torch_that_cannot_be_loaded(setup: Setup) -> None:
    broken = setup.home / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')")
    setup.command = [sys.executable, "-m", "backend"]
    setup.python_path = os.pathsep.join([str(broken.parent), str(ROOT)])
    setup.names("error", "torch", "libtorch_cpu.so")


def test_wrong_weights(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "gknet" / "weights", setup.home / "gknet" / "weights")
    monkeypatch.setattr(gknet, "__file__", str(setup.home / "gknet" / "__init__.py"))
    path = setup.home / "gknet" / "weights" / "gknet-s.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    setup.names("error", "weights", "gknet-s.safetensors is damaged")
    path.unlink()
    setup.names("error", "weights", "No weights found in")


def test_a_stale_connection_file(setup: Setup) -> None:
    backend = Backend(setup.home)
    backend.end(signal.SIGKILL)
    assert setup.connection.exists()
    setup.names("warning", "connection file", "is stale")


def test_a_port_that_another_program_took(setup: Setup, squatter: int) -> None:
    write_connection(setup, squatter)
    setup.names("warning", "connection file", "is stale", f"port {squatter}", "does not speak ZeroMQ")
    with FileLock(f"{setup.connection}.lock"):
        setup.names("error", "backend", f"cannot be reached at port {squatter}", "does not speak ZeroMQ")


def test_a_port_that_is_blocked(setup: Setup) -> None:
    """A network of its own, in which even the way to oneself is closed."""
    words = ["unshare", "--net", *([] if IS_ROOT else ["--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("this system allows no network of a test's own")
    setup.command = [*words, sys.executable, "-c", CHECK, "check_loopback"]
    setup.names("error", "ports", "127.0.0.1")


@pytest.mark.usefixtures("krita_there")
def test_a_plug_in_that_is_disabled(setup: Setup) -> None:
    setup.gknet("install", "krita")
    settings = setup.home / ".config" / "kritarc"
    settings.write_text(settings.read_text().replace("=true", "=false"))
    setup.names("error", "Krita plug-in", "is disabled in ~/.config/kritarc")
    (setup.home / ".config/GIMP/3.0").mkdir(parents=True)
    setup.gknet("install", "gimp")
    (setup.home / ".config/GIMP/3.0/plug-ins/gknet-harmonize/gknet-harmonize.py").chmod(0o644)
    setup.names("error", "GIMP plug-in", "not executable")


def test_a_plug_in_that_gimp_left_out(setup: Setup) -> None:
    register = setup.home / ".config/GIMP/3.0/pluginrc"
    register.parent.mkdir(parents=True)
    setup.gknet("install", "gimp")
    installed = time.time()

    def left_out(plug_in: str, written: float) -> list[Finding]:
        """What is found where GIMP wrote at some time that it knows a plug-in."""
        register.write_text(f'(plug-in-def "${{gimp_dir}}/plug-ins/{plug_in}/{plug_in}.py" 1)')
        os.utime(register, (written, written))
        return [found for found in plug_ins.check_gimp() if "left the plug-in out" in found.text]

    assert left_out("other", installed - 60) == []
    (finding,) = left_out("other", installed + 60)
    assert (finding.subject, finding.state) == ("GIMP plug-in", "warning")
    assert "PyGObject" in finding.remedy
    assert left_out("gknet-harmonize", installed + 60) == []


def test_the_engine_of_a_plug_in_and_what_is_used_instead(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    home = setup.home / ".local" / "share" / "gknet" / "engine"
    setup.names("fine", "engine", "No plug-in has installed one")
    (home / "0.1.0-abc" / "bin").mkdir(parents=True)
    switch_to(Engine(home, "0.1.0-abc", "0.1.0", "cpu", "0" * 64))
    setup.names("error", "engine", "its Python is missing")
    (home / "0.1.0-abc" / "bin" / "python").touch()
    monkeypatch.setenv("PATH", str(setup.home / "bin"))
    monkeypatch.setattr(installed, "_PLACES", ())
    setup.names("fine", "engine", "0.1.0 with PyTorch's cpu build", "without a start command use it")
    (setup.home / "bin").mkdir()
    (setup.home / "bin" / "gknet").touch(mode=0o755)
    setup.names("fine", "engine", "/bin/gknet instead")
    monkeypatch.setenv("GKNET_COMMAND", "/my/gknet")
    setup.names("fine", "engine", "/my/gknet instead, because GKNET_COMMAND names it")


def test_an_old_or_damaged_plug_in(setup: Setup) -> None:
    setup.gknet("install", "krita")
    folder = setup.home / ".local/share/krita/pykrita/gknet_harmonize"
    (folder / "thin" / "client.py").write_text("# cut off")
    setup.names("error", "Krita plug-in", "have changed or are missing", "thin/client.py")
    record = json.loads((folder / "installed.json").read_text())
    (folder / "installed.json").write_text(json.dumps({**record, "version": "0.0.9"}))
    setup.names("error", "Krita plug-in", "version 0.0.9")
    (folder / "wheel").mkdir()
    (folder / "wheel" / "gknet_harmonize-0.0.9-py3-none-any.whl").touch()
    found = setup.doctor()[1]
    (old,) = (one for one in found if one.subject == "Krita plug-in" and "version 0.0.9" in one.text)
    assert "Install the plug-in from its archive again" in old.remedy
    shutil.rmtree(folder / "wheel")
    (folder / "installed.json").write_text(json.dumps({**record, "command": ["/gone/python", "-m", "x", "serve"]}))
    setup.names("error", "Krita plug-in", "/gone/python", "no longer exists")
    assert setup.gknet("install", "krita")[0] == 0
    assert not [found for found in setup.doctor()[1] if found.subject == "Krita plug-in" and found.state == "error"]


def test_read_only_folders(setup: Setup) -> None:
    folder = setup.connection.parent
    if IS_ROOT:
        setup.command = namespace(f"mount --bind {folder} {folder}; mount -o remount,ro,bind {folder}")
    else:
        folder.chmod(0o500)
    setup.names("error", "connection folder", "not writable", "ead-only" if IS_ROOT else "denied")


def test_a_full_disk(setup: Setup) -> None:
    folder = setup.connection.parent
    fill = f"dd if=/dev/zero of={folder}/fill bs=4k count=64 2>/dev/null || true"
    setup.command = namespace(f"mount -t tmpfs -o size=64k,mode=700 tmpfs {folder}; {fill}")
    setup.names("error", "connection folder", "disk", "is full")


def old_pythons() -> list[Path]:
    """Interpreters before 3.11, on PATH and beside this one's own installation."""
    names = [f"python3.{minor}" for minor in (9, 10)]
    places = [Path(found) for name in names if (found := shutil.which(name))]
    for name in names:
        places += Path(sys.base_prefix).parent.glob(f"{name.removeprefix('python')}*/bin/{name}")
    answer = "import sys; print(sys.version_info < (3, 11))"

    def is_old(path: Path) -> bool:
        return subprocess.run([path, "-c", answer], capture_output=True, text=True, check=False).stdout == "True\n"

    return [path for path in places if is_old(path)]


def test_a_python_that_is_too_old(setup: Setup) -> None:
    old = old_pythons()
    if not old:
        pytest.skip("there is no Python before 3.11")
    setup.python_path = str(ROOT)
    for path in old:
        setup.command = [str(path), "-m", "backend"]
        code, (finding,) = setup.doctor()
        assert (code, finding.subject, finding.state) == (1, "Python", "error")
        assert "3.11 is needed" in finding.text
        code, _, err = setup.gknet("status")
        assert code == 2
        assert "is too old" in err


def test_every_python_before_the_oldest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old versions aren't installed here, so the running one pretends to be old."""
    from backend.install.doctor import program

    assert program.check_python(OLDEST_PYTHON).state == "fine"
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    assert program.check_python(OLDEST_PYTHON).state == "error"


def test_a_key_that_cannot_be_read(setup: Setup) -> None:
    write_connection(setup, 9)
    if IS_ROOT:
        os.chown(setup.connection, OTHER_USER, OTHER_USER)
        setup.names("error", "connection file", "belongs to another user")
    else:
        setup.connection.chmod(0o000)
        setup.names("error", "connection file", "ermission denied")


def test_a_key_that_others_can_read(setup: Setup) -> None:
    write_connection(setup, 9)
    setup.connection.chmod(0o644)
    setup.names("error", "connection file", "other users can read or write it")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the card that is to be missing")
def test_a_gpu_that_was_asked_for_and_is_absent(setup: Setup) -> None:
    setup.names("error", "device", "'cuda' is not available", arguments=("--device", "cuda"))


def test_a_host_that_is_missing(setup: Setup) -> None:
    if programs.find_programs("GIMP") or programs.find_programs("Krita"):
        pytest.skip("this machine has one of the hosts that are to be missing")
    setup.names("warning", "GIMP", "was not found")
    setup.names("warning", "Krita", "was not found")
    code, _, err = setup.gknet("install", "all")
    assert code == 2
    assert "Neither GIMP nor Krita was found" in err


def test_errors_of_the_log_are_told(setup: Setup) -> None:
    log = setup.home / ".local/state/gknet/log/backend.log"
    program = (
        "import logging, sys, pathlib\nfrom backend.server import journal\n"
        "journal.start_logging(pathlib.Path(sys.argv[1]))\n"
        "logging.getLogger('backend.server.worker').error('failed on /home/me/My pictures/aunt.png')"
    )
    subprocess.run([sys.executable, "-c", program, str(log)], check=True)
    setup.names("warning", "log", "1 errors", "backend.server.worker", "(an image)")


def test_text_and_json_show_neither_home_nor_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    finding = Finding("log", "error", "Lost /home/anna/Bilder/Tante Emma.JPEG in\n/home/anna/x.", "See /home/annabel.")
    for text in (format_text([finding]), format_json([finding])):
        assert "anna/" not in text
        assert "Emma" not in text
        assert "~/x" in text
        assert "/home/annabel" in text


def test_a_backend_that_hangs_is_named(setup: Setup) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    write_connection(setup, listening.getsockname()[1])
    with listening, FileLock(f"{setup.connection}.lock"):
        setup.names("error", "backend", "did not answer in time")
