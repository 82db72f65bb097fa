"""A real backend, clients of it, and a scene."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from backend import Client
from tests.backend.real_backend import Backend, Peer


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend for all tests of a module; `Client.connect()` finds it."""
    running = Backend(tmp_path_factory.mktemp("backend"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GKNET_CONNECTION", str(running.path))
        yield running
    assert running.end()[0] == 0


@pytest.fixture
def own_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Backend]]:
    """Starts a backend of the test's own."""
    made: list[Backend] = []

    def start(*arguments: str) -> Backend:
        made.append(Backend(tmp_path, *arguments))
        monkeypatch.setenv("GKNET_CONNECTION", str(made[-1].path))
        return made[-1]

    yield start
    for one in made:
        one.end(signal.SIGKILL)


@pytest.fixture
def peer(backend: Backend) -> Iterator[Peer]:
    """A peer with the right key."""
    connected = Peer(backend.facts)
    yield connected
    connected.close()


@pytest.fixture
def client(backend: Backend) -> Iterator[Client]:
    """A client of the module's backend."""
    del backend
    with Client.connect(start=False) as connected:
        yield connected


@pytest.fixture(scope="session")
def reference() -> np.ndarray:
    """(512, 512, 3) uint8: an astronaut before a flag (NASA, public domain), upside down."""
    return np.asarray(skimage.data.astronaut())[::-1].copy()


@pytest.fixture(scope="session")
def layer() -> np.ndarray:
    """(160, 120, 4) uint8: the astronaut's face, cut out with a soft edge and too dark: as it is, it fits."""
    face = np.asarray(skimage.data.astronaut())[40:200, 160:280] // 2
    rows, columns = np.mgrid[:160, :120]
    distance = np.hypot((rows - 80) / 70, (columns - 60) / 50)
    alpha = (255 * np.clip((1.05 - distance) / 0.1, 0, 1)).round().astype(np.uint8)
    return np.dstack([face, alpha])
