"""Data like the real ones, made from a few free photographs: a pool of shards, iHarmony4's tree, a folder of pairs."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gknet import GKNet
from gknet.network import weights
from gknet.network.config import PRESETS
from tests.training import running_study
from tests.training.two_kinds import leave_two_kinds
from training.data.iharmony4 import SUBSETS
from training.data.judging_sets.real_light import CAMERAS
from training.data.shards import is_validation


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _encoded(picture: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: on a busy machine, threads that share so little work wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _write_pool(folder: Path, training: int, validation: int) -> Path:
    sources = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    wanted = {False: training, True: validation}
    with tarfile.open(folder / "pool-000.tar", "w") as archive:
        for number in range(10_000):
            key = f"free_{number}"
            if not any(wanted.values()):
                break
            if not wanted[is_validation(key)]:
                continue
            wanted[is_validation(key)] -= 1
            picture = np.rot90(sources[number % 4], number // 4 % 4)
            picture = np.asarray(Image.fromarray(picture).resize((160, 120)))
            _add(archive, f"{key}.webp", _encoded(picture, "WEBP"))
            for index in range(1 + number % 2):
                mask = np.zeros((120, 160), bool)
                mask[20 + 20 * index : 90, 40:110] = True
                _add(archive, f"{key}.mask{index}.png", _encoded(mask, "PNG"))
            _add(archive, f"{key}.json", json.dumps({"source": "free"}).encode())
    return folder


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs to train on and four to validate on, each with one or two masks."""
    return _write_pool(tmp_path_factory.mktemp("pool"), 12, 4)


@pytest.fixture(scope="session")
def small_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `pool`, but two photographs of either kind: for a command that judges all composites of a pool."""
    return _write_pool(tmp_path_factory.mktemp("pool"), 2, 2)


@pytest.fixture
def two_kinds() -> Iterator[None]:
    with leave_two_kinds():
        yield


@pytest.fixture
def quick_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset gknet-s half as wide, and for pictures of 64 pixels."""
    monkeypatch.setitem(PRESETS, "gknet-s", replace(PRESETS["gknet-s"], width=8, network_size=64))


@pytest.fixture(scope="session")
def quick_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights in a file that has them look at pictures of 64 pixels: worse, and four times as fast."""
    shipped = weights.load(weights.find_shipped("gknet-s"))
    net = GKNet(replace(shipped.config, network_size=64))
    net.load_state_dict(shipped.state_dict())
    path = tmp_path_factory.mktemp("weights") / "quick.safetensors"
    weights.save(net, path)
    return path


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of five frames and an object for each camera of real light; its frames differ in brightness."""
    folder = tmp_path_factory.mktemp("light")
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    with tarfile.open(folder / "light-000.tar", "w") as archive:
        for camera in (*CAMERAS["choosing"], *CAMERAS["final"]):
            _add(archive, f"{camera}.tower.mask.png", _encoded(mask, "PNG"))
            for hour in range(5):
                frame = np.full((64, 64, 3), 40 + 40 * hour, np.uint8)
                _add(archive, f"{camera}_2013_{hour}.webp", _encoded(frame, "WEBP"))
    return folder


@pytest.fixture
def iharmony4_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two composites a sub-set, one to train on and one to test on; the lists as bare names and as paths."""
    root = tmp_path_factory.mktemp("iharmony4")
    for number, subset in enumerate(SUBSETS):
        folder = root / subset
        for name in ("composite_images", "masks", "real_images"):
            (folder / name).mkdir(parents=True)
        for split in ("train", "test"):
            real = skimage.data.chelsea() if split == "train" else skimage.data.coffee()[:300, :450]
            mask = np.zeros(real.shape[:2], np.uint8)
            mask[60:220, 80 : 200 + 20 * number] = 255
            composite = np.where(mask[:, :, None] > 0, (real * 0.6).astype(np.uint8), real)
            Image.fromarray(real).save(folder / "real_images" / f"{split}{number}.jpg", quality=95)
            Image.fromarray(mask).save(folder / "masks" / f"{split}{number}_1.png")
            Image.fromarray(composite).save(folder / "composite_images" / f"{split}{number}_1_2.jpg", quality=95)
            prefix = "somewhere/composite_images/" if number % 2 else ""
            (folder / f"{subset}_{split}.txt").write_text(f"{prefix}{split}{number}_1_2.jpg\n\n", encoding="utf-8")
    return root


@pytest.fixture
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three composites whose foregrounds are small, medium and large; files of other kinds lie among them."""
    root = tmp_path_factory.mktemp("pairs")
    for part in ("composite", "mask", "real"):
        (root / part).mkdir()
        (root / part / "Thumbs.db").write_bytes(b"no picture")
    real = skimage.data.astronaut()
    for name, side in (("small <b>&.v1", 90), ("medium", 150), ("large", 300)):
        mask = np.zeros(real.shape[:2], bool)
        mask[100 : 100 + side, 60 : 60 + side] = True
        composite = np.where(mask[:, :, None], (real * 0.6).astype(np.uint8), real)
        Image.fromarray(composite).save(root / "composite" / f"{name}.PNG")
        Image.fromarray(mask).save(root / "mask" / f"{name}.png")
        Image.fromarray(real).save(root / "real" / f"{name}.jpeg", quality=95)
    return root


@pytest.fixture(scope="session")
def made_study_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """As `study_folders`, but not to be changed."""
    return running_study.make_folders(tmp_path_factory.mktemp("study"))


@pytest.fixture
def study_folders(made_study_folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Results of three methods of a human study, the last being the untouched composites."""
    root = tmp_path_factory.mktemp("study")
    return [shutil.copytree(folder, root / folder.name) for folder in made_study_folders]


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Where a study keeps its votes; nothing is there yet."""
    return tmp_path / "votes.jsonl"
