"""A real backend, clients of it, and a scene."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from backend import Client
from tests.backend.real_backend import Backend, Peer
from tests.gknet import ora


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

    def start(*arguments: str, fresh: bool = False) -> Backend:
        made.append(Backend(tmp_path, *arguments, fresh=fresh))
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


@pytest.fixture(scope="session")
def named_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that the pages' commands take: half-lit cups in other scenes."""
    made = tmp_path_factory.mktemp("named")
    photo = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((800, 600)))
    cup = skimage.data.coffee()[100:300, 150:400] // 2
    rows, columns = np.mgrid[: cup.shape[0], : cup.shape[1]]
    alpha = np.where((rows - 100) ** 2 + (columns - 125) ** 2 < 90**2, 255, 0).astype(np.uint8)
    cutout = np.dstack([cup, alpha])
    composite, mask = photo.copy(), np.zeros(photo.shape[:2], np.uint8)
    mask[310:510, 420:670] = alpha
    composite[310:510, 420:670][alpha > 0] = cup[alpha > 0]
    for name, pixels in (
        ("photo.jpg", photo),
        ("cutout.png", cutout),
        ("composite.png", composite),
        ("mask.png", mask),
    ):
        Image.fromarray(pixels).save(made / name)
    layer = '<layer name="{0}" src="{0}.png" x="{1}" y="{2}"/>'
    layers = ora.stack((800, 600), layer.format("Dog", 420, 310) + layer.format("photo", 0, 0))
    ora.write(made / "picture.ora", layers, {"Dog.png": ora.png(cutout), "photo.png": ora.png(photo)})
    (made / "pictures").mkdir()
    shutil.copy(made / "composite.png", made / "pictures" / "cup.png")
    shutil.copy(made / "mask.png", made / "pictures" / "cup_mask.png")
    (made / "list.csv").write_text("output,composite,mask\ncats/one.png,composite.png,mask.png\n", encoding="utf-8")
    return made


@pytest.fixture
def folder(named_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a copy of the named files."""
    shutil.copytree(named_files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
