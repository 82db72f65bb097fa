"""How a backend begins and ends, and what is left of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from backend import BackendError, BackendLostError, BackendUnavailableError, Client
from backend import client as backend_client
from backend.thin import client as thin_client
from tests.backend.real_backend import Backend, Peer, await_that, harmonize_header

pytestmark = pytest.mark.integration

Start = Callable[..., Backend]
AT = (150, 200)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A connection file's path at which no backend runs; one that is started there is ended."""
    path = tmp_path / "run" / "backend.json"
    monkeypatch.setenv("GKNET_CONNECTION", str(path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield path
    with suppress(BackendError):
        Client.connect(start=False).shutdown()
    await_that(lambda: not processes_of(path))


def processes_of(path: Path) -> list[int]:
    """Ids of the processes that serve a connection file."""
    found = []
    for process in psutil.process_iter():
        try:
            if "serve" in process.cmdline() and process.environ().get("GKNET_CONNECTION") == str(path):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_files_are_their_owners_alone(own_backend: Start) -> None:
    backend = own_backend()
    assert stat.S_IMODE(backend.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(backend.path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in backend.path.parent.iterdir()) == ["backend.json", "backend.json.lock"]
    facts = backend.facts
    assert set(facts) == {"version", "host", "port", "key", "proof_key", "pid", "started", "device"}
    assert (facts["host"], facts["pid"], facts["device"]) == ("127.0.0.1", backend.process.pid, "cpu")
    assert len({facts["key"], facts["proof_key"]}) == 2
    assert all(len(bytes.fromhex(facts[name])) == 32 for name in ("key", "proof_key"))


def test_it_listens_on_this_machine_alone(own_backend: Start) -> None:
    backend = own_backend()
    listening = [one for one in psutil.Process(backend.process.pid).net_connections() if one.status == "LISTEN"]
    assert [(one.laddr.ip, one.laddr.port) for one in listening] == [("127.0.0.1", backend.facts["port"])]


def test_keys_are_nowhere_but_in_the_file(own_backend: Start, layer: np.ndarray, reference: np.ndarray) -> None:
    backend = own_backend(fresh=True)  # with a command line and an environment of its own
    facts = backend.facts
    with Client.connect(start=False) as client:
        client.harmonize(layer, reference, at=AT)
    stranger = Peer(facts, key="0" * 64)
    with suppress(TimeoutError):  # where it is refused before it has sent
        stranger.send({"op": "status"})
    stranger.close()
    process = psutil.Process(backend.process.pid)
    elsewhere = [*process.cmdline(), *process.environ().values()]
    _, out, err = backend.end()
    elsewhere += [out, err, backend.log.read_text()]
    for key in (facts["key"], facts["proof_key"]):
        assert not any(key in text for text in elsewhere)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(own_backend: Start, layer: np.ndarray, reference: np.ndarray, number: int) -> None:
    backend = own_backend()
    with Client.connect(start=False) as client:
        client.harmonize(layer, reference, at=AT)
        assert backend.end(number)[::2] == (0, "")
    assert [file.name for file in backend.path.parent.iterdir()] == ["backend.json.lock"]
    assert "ended" in backend.log.read_text().splitlines()[-1]


def test_shutdown_cancels_what_is_open(own_backend: Start, layer: np.ndarray, reference: np.ndarray) -> None:
    backend = own_backend()
    peer = Peer(backend.facts)
    header = harmonize_header(layer, reference, network_size=576)
    open_requests = [peer.send(header, layer, reference) for _ in range(3)]
    bye = peer.send({"op": "shutdown"})
    ends = {reply["id"]: reply.get("code", reply["op"]) for reply in peer.until_end(*open_requests, bye)}
    assert ends == {bye: "bye", **dict.fromkeys(open_requests, "cancelled")}
    peer.close()
    assert backend.process.wait(20) == 0
    assert not backend.path.exists()


def test_after_its_farewell_nobody_finds_it(own_backend: Start) -> None:
    backend = own_backend()
    peer = Peer(backend.facts)
    # What comes with it keeps the backend busy in the moment in which it ends.
    operations = ["status"] * 5 + ["shutdown"] + ["status"] * 26
    bye = [peer.send({"op": operation}) for operation in operations][5]
    while peer.receive()[0]["id"] != bye:
        pass
    assert not backend.path.exists()
    peer.close()
    own_backend()  # the next one starts while this one still ends
    assert backend.process.wait(20) == 0


def test_it_can_be_ended_while_it_still_loads(own_backend: Start) -> None:
    backend = own_backend(fresh=True)
    assert backend.end()[::2] == (0, "")
    assert not backend.path.exists()


def test_it_ends_when_nobody_asks_for_anything(own_backend: Start) -> None:
    backend = own_backend("--idle-minutes", "0.02")
    with Client.connect(start=False):
        assert backend.process.wait(60) == 0
    assert not backend.path.exists()


def test_a_client_whose_backend_has_ended_finds_the_next(own_backend: Start) -> None:
    first = own_backend()
    with Client.connect(start=False) as client:
        first.end()
        with pytest.raises(BackendUnavailableError):
            client.status()
        second = own_backend()
        assert client.status()["pid"] == second.process.pid
        client.shutdown()
        client.shutdown()
        assert second.process.wait(20) == 0


def test_the_newer_start_gives_way(own_backend: Start) -> None:
    backend = own_backend()
    facts = backend.facts
    second = backend.launch()
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (2, "")
    assert err.startswith(f"gknet: A backend is already running (process {backend.process.pid}).")
    assert err.count("\n") == 1
    assert backend.facts == facts
    Client.connect(start=False).close()


def test_two_clients_that_start_at_once_meet_in_one_backend(
    nowhere: Path, layer: np.ndarray, reference: np.ndarray
) -> None:
    together, results, ids = threading.Barrier(2), list[np.ndarray](), list[int]()

    def work() -> None:
        together.wait()
        with Client.connect() as client:
            ids.append(client.status()["pid"])
            results.append(client.harmonize(layer, reference, at=AT).pixels)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(*results)
    assert ids[0] == ids[1]
    await_that(lambda: len(processes_of(nowhere)) == 1)


def test_without_a_backend_there_is_none_unless_it_is_started(nowhere: Path) -> None:
    with pytest.raises(BackendUnavailableError):
        Client.connect(start=False)
    assert not nowhere.exists()


def test_a_backend_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "no" / "folder")
    monkeypatch.setenv("GKNET_CONNECTION", str(tmp_path / "link" / "backend.json"))
    with pytest.raises(BackendUnavailableError, match="cannot be used"):
        Client.connect()


def test_a_killed_backend_is_noticed_at_once(own_backend: Start, layer: np.ndarray, reference: np.ndarray) -> None:
    backend = own_backend()
    client = Client.connect(start=False)
    killed = 0.0

    def kill(stage: str, done: int, total: int) -> None:
        nonlocal killed
        del done, total
        if stage == "network" and not killed:
            backend.process.kill()
            killed = time.monotonic()

    with pytest.raises(BackendLostError) as error:
        client.harmonize(layer, reference, at=AT, on_progress=kill)
    assert time.monotonic() - killed < 2
    assert error.value.hint
    client.close()


def test_a_killed_backend_is_started_again(
    own_backend: Start, nowhere: Path, layer: np.ndarray, reference: np.ndarray
) -> None:
    backend = own_backend()
    assert backend.path == nowhere
    with Client.connect() as client:
        whole = client.harmonize(layer, reference, at=AT)

        def kill(stage: str, done: int, total: int) -> None:
            del done, total
            if stage == "network":
                backend.process.kill()

        assert np.array_equal(client.harmonize(layer, reference, at=AT, on_progress=kill).pixels, whole.pixels)
        assert client.status()["pid"] != backend.process.pid
        # The new one does not know what the old one kept.
        assert np.array_equal(client.harmonize(layer, reference, at=AT, fit=whole.fit).pixels, whole.pixels)


def test_a_dead_backends_file_blocks_nobody(own_backend: Start, nowhere: Path) -> None:
    backend = own_backend()
    backend.end(signal.SIGKILL)
    assert nowhere.exists()
    with pytest.raises(BackendUnavailableError):
        Client.connect(start=False)
    with Client.connect() as client:
        assert processes_of(nowhere) == [client.status()["pid"]]


def test_a_stranger_at_a_dead_backends_port_sees_no_pixels(
    own_backend: Start,
) -> None:
    backend = own_backend()
    facts = backend.facts
    backend.end(signal.SIGKILL)
    program = (
        "import sys, zmq, msgpack\n"
        "context = zmq.Context()\n"
        "gate, router = context.socket(zmq.REP), context.socket(zmq.ROUTER)\n"
        "gate.bind('inproc://zeromq.zap.01')\n"
        "router.plain_server, router.zap_domain = True, b'any'\n"
        f"router.bind('tcp://127.0.0.1:{facts['port']}')\n"
        "print('ready', flush=True)\n"
        "asked = gate.recv_multipart()\n"
        "gate.send_multipart([asked[0], asked[1], b'200', b'', b'', b''])\n"  # lets anybody in
        "peer, header = router.recv_multipart()\n"
        "hello = msgpack.unpackb(header)\n"
        "router.send_multipart([peer, msgpack.packb({'op': 'hello', 'id': hello['id'], 'proof': bytes(32)})])\n"
        "print('more' if router.poll(1000) else 'no more', flush=True)\n"
    )
    stranger = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert stranger.stdout is not None
    assert stranger.stdout.readline() == "ready\n"
    with pytest.raises(BackendUnavailableError):
        Client.connect(start=False)
    assert stranger.communicate(timeout=30)[0] == "no more\n"


def a_folder(path: Path) -> None:
    path.mkdir()


def a_full_disk(path: Path) -> None:
    path.symlink_to("/dev/full")


@pytest.mark.parametrize(("stands_there", "said"), [(a_folder, "log"), (a_full_disk, "No space left")])
def test_a_log_that_cannot_be_written_stops_nothing(
    own_backend: Start,
    tmp_path: Path,
    layer: np.ndarray,
    reference: np.ndarray,
    stands_there: Callable[[Path], None],
    said: str,
) -> None:
    if stands_there is a_full_disk and not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full")
    stands_there(tmp_path / "backend.log")
    backend = own_backend()
    with Client.connect(start=False) as client:
        client.harmonize(layer, reference, at=AT)
    status, _, err = backend.end()
    assert status == 0
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_clients_survive_a_backend_that_is_killed_now_and_then(
    nowhere: Path, layer: np.ndarray, reference: np.ndarray
) -> None:
    small = np.ascontiguousarray(layer[::2, ::2])
    strengths = np.linspace(0, 1, 10)
    with Client.connect() as client:
        alone = [client.harmonize(small, reference, at=AT, network_size=64, strength=s).pixels for s in strengths]
    failures: list[str] = []
    answers = itertools.count(1)  # one thread at a time draws from it

    def work(seed: int) -> None:
        with Client.connect() as mine:
            for number in range(30):
                which = (seed + number) % len(strengths)
                for _ in range(20):
                    try:
                        answer = mine.harmonize(small, reference, at=AT, network_size=64, strength=strengths[which])
                        break
                    except BackendError as error:
                        failures.append(error.code)
                assert np.array_equal(answer.pixels, alone[which])
                if next(answers) % 50 == 0:
                    for process in processes_of(nowhere):
                        os.kill(process, signal.SIGKILL)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert next(answers) == 8 * 30 + 1
    assert len(processes_of(nowhere)) <= 1
    assert set(failures) <= {"backend_lost", "backend_unavailable", "busy"}
    assert len(failures) < 60


def damage(path: Path) -> None:
    path.write_text("junk")


def put_an_older_one_back(path: Path) -> None:
    older = json.loads(path.read_text()) | {"key": "0" * 64, "port": 1}
    path.write_text(json.dumps(older))


@pytest.mark.parametrize("lose", [Path.unlink, damage])
def test_a_backend_that_lost_its_connection_file_writes_it_again(
    own_backend: Start, lose: Callable[[Path], None]
) -> None:
    backend = own_backend()
    before = backend.facts
    with Client.connect(start=False) as client:
        lose(backend.path)
        with Client.connect(start=False) as other:
            assert other.status()["pid"] == backend.process.pid
        assert client.status()["pid"] == backend.process.pid  # its connection has stayed open
    now = backend.facts
    assert {name for name in now if now[name] != before[name]} == {"key", "proof_key"}
    assert stat.S_IMODE(backend.path.stat().st_mode) == 0o600
    stranger = Peer(backend.facts, key=before["key"])
    with suppress(TimeoutError):  # where it is refused before it has sent
        stranger.send({"op": "status"})
    with pytest.raises(TimeoutError):
        stranger.receive(1)
    stranger.close()
    with Client.connect(start=False) as client:
        client.shutdown()
    assert backend.process.wait(20) == 0
    assert not backend.path.exists()


def let_others_read(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize("change", [put_an_older_one_back, let_others_read])
def test_a_connection_file_that_no_client_can_use_is_replaced(
    own_backend: Start, change: Callable[[Path], None]
) -> None:
    backend = own_backend()
    before = backend.facts
    change(backend.path)
    await_that(lambda: backend.facts["key"] not in (before["key"], "0" * 64))
    assert stat.S_IMODE(backend.path.stat().st_mode) == 0o600
    with Client.connect(start=False) as client:
        assert client.status()["pid"] == backend.process.pid


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_a_link_in_the_connection_files_place_leads_to_is_left_alone(
    own_backend: Start, tmp_path: Path, is_there: bool
) -> None:
    backend = own_backend()
    notes = tmp_path / "notes.txt"
    if is_there:
        notes.touch(0o600)
    backend.path.unlink()
    backend.path.symlink_to(notes)
    await_that(lambda: not backend.path.is_symlink() and backend.path.exists())
    assert notes.exists() == is_there
    assert not is_there or notes.read_bytes() == b""


def test_a_backend_whose_lock_file_is_gone_makes_way_for_the_next(own_backend: Start) -> None:
    backend = own_backend()
    backend.path.unlink()
    backend.path.with_name(f"{backend.path.name}.lock").unlink()
    assert backend.process.wait(20) == 0
    assert not backend.path.exists()


@pytest.mark.parametrize("start", [False, True])
def test_a_suspended_backend_without_its_connection_file_is_named(
    own_backend: Start, monkeypatch: pytest.MonkeyPatch, start: bool
) -> None:
    backend = own_backend()
    monkeypatch.setattr(backend_client, "_START_S", 1.0)
    backend.process.send_signal(signal.SIGSTOP)
    backend.path.unlink()
    with pytest.raises(BackendUnavailableError, match=rf"\(process {backend.process.pid}\)") as error:
        Client.connect(start=start)
    assert "end that process" in error.value.hint


def test_a_suspended_backend_is_to_be_ended_not_started(own_backend: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = own_backend()
    monkeypatch.setattr(thin_client, "HELLO_S", 1.0)
    backend.process.send_signal(signal.SIGSTOP)
    with pytest.raises(BackendUnavailableError, match="did not answer in time") as error:
        Client.connect(start=False)
    assert error.value.hint == "If it is the backend, end its process and try again."
    with pytest.raises(BackendUnavailableError, match=rf"already running \(process {backend.process.pid}\)"):
        Client.connect()
