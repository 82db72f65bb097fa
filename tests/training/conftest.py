"""A pool of shards like the real one, made from a few free photographs."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from training.shards import is_validation


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _encoded(picture: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs to train on and four to validate on, each with one or two masks."""
    folder = tmp_path_factory.mktemp("pool")
    sources = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    wanted = {False: 12, True: 4}
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
