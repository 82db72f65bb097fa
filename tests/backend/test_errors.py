"""Every failure is the same class through the backend as in this process."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backend as public
from backend import BackendError, Client, InternalError, OutOfMemoryError, UnauthorizedError
from backend.errors import CLASSES
from backend.server import connection, server, worker
from backend.thin import protocol
from backend.thin.connection import find_connection_path
from gknet import Harmonizer
from gknet.errors import HarmonizeError, InputError
from tests.backend.real_backend import Backend

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
PIXELS = np.zeros((4, 4, 4), np.uint8)


class Faults:
    """What the worker of the server below raises."""

    next: BaseException = RuntimeError("Nothing was chosen.")


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """A server on a thread of this process; `Client.connect` finds it. Its worker fails as it is told."""
    chosen = Faults()

    def fail(*_: object) -> None:
        raise chosen.next

    path = tmp_path_factory.mktemp("faults") / "backend.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GKNET_CONNECTION", str(path))
        patch.setattr(worker.Worker, "_harmonize", fail)
        running = server.Server(path, lambda: True, device="cpu", idle_s=0)
        connection.write_connection_file(path, running.connection)

        def run() -> None:
            running.run()
            running.close()  # sends the farewell that the last client waits for

        thread = threading.Thread(target=run)
        thread.start()
        yield chosen
        with Client.connect(start=False) as client:
            client.shutdown()
        thread.join()


def subclasses(root: type[HarmonizeError]) -> set[type[HarmonizeError]]:
    return {root}.union(*(subclasses(one) for one in root.__subclasses__()))


def raised(work: Callable[[], object]) -> HarmonizeError:
    with pytest.raises(HarmonizeError) as caught:
        work()
    return caught.value


def test_every_code_of_the_protocol_has_a_class_of_its_own() -> None:
    documented = re.findall(r"^\| `(\w+)` \| `(\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {(code, one.__name__) for code, one in CLASSES.items()} <= set(documented)
    assert {code for code, _ in documented} == set(CLASSES)
    assert set(CLASSES) == set(protocol.CODES)
    assert len(set(CLASSES.values())) == len(protocol.CODES)


def test_no_error_of_ours_lacks_a_code() -> None:
    ours = {one for one in subclasses(HarmonizeError) if one.__module__.startswith(("gknet", "backend"))}
    assert set(CLASSES.values()) < ours
    assert {one.code for one in ours} <= set(protocol.CODES)


@pytest.mark.parametrize("code", protocol.CODES)
def test_an_error_comes_through_the_socket_as_the_class_it_was_raised_as(faults: Faults, code: str) -> None:
    faults.next = CLASSES[code]("What went wrong.", "What to do.")
    with Client.connect(start=False) as client:
        error = raised(lambda: client.harmonize(PIXELS, PIXELS))
    assert type(error) is CLASSES[code]
    assert (error.code, error.message, error.hint) == (code, "What went wrong.", "What to do.")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (MemoryError(), OutOfMemoryError),
        (MemoryError(), MemoryError),
        (RuntimeError("CUDA out of memory."), OutOfMemoryError),
        (ZeroDivisionError(), InternalError),
    ],
)
def test_a_fault_of_the_backend_is_a_class_of_its_own(
    faults: Faults, fault: BaseException, kind: type[Exception]
) -> None:
    faults.next = fault
    with Client.connect(start=False) as client:
        error = raised(lambda: client.harmonize(PIXELS, PIXELS))
    assert isinstance(error, kind)
    assert isinstance(error, BackendError)


def test_a_code_of_a_newer_backend_is_a_backend_error(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HarmonizeError, "code", "on_strike")
    faults.next = HarmonizeError("The backend is on strike.")
    with Client.connect(start=False) as client:
        error = raised(lambda: client.harmonize(PIXELS, PIXELS))
    assert type(error) is BackendError
    assert error.message == "The backend is on strike."


def test_a_wrong_key_is_refused(faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del faults
    facts = json.loads(find_connection_path().read_text())
    path = tmp_path / "backend.json"
    path.touch(0o600)
    path.write_text(json.dumps({**facts, "key": "0" * 64}))
    monkeypatch.setenv("GKNET_CONNECTION", str(path))
    assert isinstance(raised(lambda: Client.connect(start=False)), UnauthorizedError)


def opaque(scene: dict[str, Any]) -> None:
    scene["layer"] = np.ascontiguousarray(scene["layer"][..., :3])


def beside(scene: dict[str, Any]) -> None:
    scene["at"] = (5000, 5000)


def transparent(scene: dict[str, Any]) -> None:
    scene["layer"] = np.zeros_like(scene["layer"])


def covered(scene: dict[str, Any]) -> None:
    scene.update(layer=scene["reference"], at=(0, 0), selection=np.full(scene["reference"].shape[:2], 255, np.uint8))


def not_a_number(scene: dict[str, Any]) -> None:
    scene["layer"] = (scene["layer"] / 255).astype(np.float32)
    scene["layer"][80, 60, 1] = np.nan


def too_strong(scene: dict[str, Any]) -> None:
    scene["network_size"] = 8


@pytest.fixture(scope="module")
def harmonizer() -> Harmonizer:
    """The backend's network in this process."""
    return Harmonizer.from_pretrained(device="cpu")


@pytest.mark.parametrize("spoil", [opaque, beside, transparent, covered, not_a_number, too_strong])
def test_wrong_pictures_are_refused_as_in_this_process(
    backend: Backend,
    harmonizer: Harmonizer,
    layer: np.ndarray,
    reference: np.ndarray,
    spoil: Callable[[dict[str, Any]], None],
) -> None:
    del backend
    scene: dict[str, Any] = {"layer": layer, "reference": reference, "at": (150, 200)}
    spoil(scene)
    with Client.connect(start=False) as client:
        theirs = raised(lambda: client.harmonize(**scene))
    below = scene.pop("reference")
    ours = raised(lambda: harmonizer.fit_layer(reference=below, canvas=(512, 512), **scene))
    assert type(theirs) is type(ours)
    assert isinstance(theirs, InputError)


def test_what_is_public_can_be_imported() -> None:
    for name in public.__all__:
        assert getattr(public, name).__name__ == name
