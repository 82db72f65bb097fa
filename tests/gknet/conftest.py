"""Real photographs and a network that visibly does something, for all tests of gknet."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from gknet import Harmonizer, preset
from gknet.cli.app import main
from gknet.network import weights

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """(512, 512, 3) uint8: an astronaut before a flag (NASA, public domain)."""
    return np.asarray(skimage.data.astronaut())


@pytest.fixture(scope="session")
def object_mask(photograph: np.ndarray) -> np.ndarray:
    """(512, 512) uint8: an ellipse over head and shoulders, with a soft edge of about eight pixels."""
    rows, columns = np.mgrid[: photograph.shape[0], : photograph.shape[1]]
    distance = np.hypot((rows - 210) / 190, (columns - 230) / 120)
    return (255 * np.clip((1.05 - distance) / 0.1, 0, 1)).round().astype(np.uint8)


@pytest.fixture(scope="session")
def shipped() -> Harmonizer:
    """The shipped weights on the CPU."""
    return Harmonizer.from_pretrained(device="cpu")


@pytest.fixture(scope="session")
def untrained() -> Harmonizer:
    """A network that returns its input."""
    return Harmonizer(weights.build(replace(preset("gknet-s"), width=8)))


@pytest.fixture(scope="session")
def brightening() -> Harmonizer:
    """A network that multiplies the foreground by 1.3 and adds 0.02, whatever it sees."""
    net = weights.build(replace(preset("gknet-s"), width=8))
    with torch.no_grad():
        assert net.head.bias is not None
        gain = torch.tensor([1.3]).log().expand(3)
        net.head.bias.copy_(torch.cat([gain, torch.full((3,), 0.02)]) / net.config.head_scale)
    return Harmonizer(net)


@pytest.fixture(scope="session")
def gray_profile() -> bytes:
    """The least ICC profile of a gray with gamma 1.8."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.8 * 256)) + b"\0\0"
    tags = struct.pack(">I", 2) + struct.pack(">4sII4sII", b"wtpt", 156, 20, b"kTRC", 176, 16)
    head = struct.pack(">I4sI4s4s4s", 192, b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ") + bytes(12) + b"acsp"
    return head.ljust(68, b"\0") + white[8:] + bytes(48) + tags + white + curve


@pytest.fixture(scope="session")
def load_once() -> Callable[..., Harmonizer]:
    """`Harmonizer.from_pretrained`, which loads the shipped weights once for all commands of this process."""
    load = Harmonizer.from_pretrained
    loaded: dict[str, Harmonizer] = {}

    def from_pretrained(name: str = "gknet-s", device: str = "auto") -> Harmonizer:
        if name != "gknet-s" or device not in ("auto", "cpu"):
            return load(name, device)
        if device not in loaded:
            loaded[device] = load(name, device)
        return loaded[device]

    return from_pretrained


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    load_once: Callable[..., Harmonizer],
) -> Run:
    """Runs the command in an empty folder; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Harmonizer, "from_pretrained", load_once)

    def command(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture(scope="module")
def given(photograph: np.ndarray, object_mask: np.ndarray) -> tuple[Tensor, Tensor]:
    """A composite (1, 3, 64, 48) and its mask, in colors that do not belong."""
    small = np.asarray(Image.fromarray(photograph[:448, 60:396]).resize((48, 64), Image.Resampling.BOX))
    mask = np.asarray(Image.fromarray(object_mask[:448, 60:396]).resize((48, 64), Image.Resampling.BOX))
    inside = torch.from_numpy(mask / np.float32(255))[None, None]
    picture = torch.from_numpy(small / np.float32(255)).permute(2, 0, 1)[None]
    return picture * (1 - 0.4 * inside), inside
