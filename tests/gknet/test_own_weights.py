"""The training script of docs/python.md, and the command below it, work as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gknet import Harmonizer
from tests.gknet.conftest import Run

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Train on your own pairs")[2]


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_trained_network_is_saved_loaded_and_used_by_the_command(
    tmp_path: Path, run: Run, shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    picture = np.ascontiguousarray(photograph[::4, ::4])
    flat = np.ascontiguousarray(object_mask[::4, ::4])
    mask = torch.from_numpy(flat / 255).float()[None, None]
    real = torch.from_numpy(picture / 255).float().permute(2, 0, 1)[None]
    batches = [((real * (1 - 0.5 * mask)), real, mask)] * 2
    names: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {"batches": batches}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(compile(block("python"), PAGE, "exec"), names)
    Image.fromarray(picture).save(tmp_path / "composite.png")
    Image.fromarray(flat).save(tmp_path / "mask.png")
    program, *words = shlex.split(block("sh"))
    assert program == "gknet"
    assert run(*words)[0] == 0
    harmonized = np.asarray(Image.open(tmp_path / "harmonized.png"))
    own = Harmonizer.from_pretrained(tmp_path / "my-model", device="cpu")
    assert np.array_equal(harmonized, own(picture, flat))
    assert not np.array_equal(harmonized, shipped(picture, flat))
    model = ("--model", str(tmp_path / "my-model" / "model.safetensors"))
    assert "model.safetensors" in run("info", *model)[1]
    (tmp_path / "pairs.csv").write_text("composite,mask,output\ncomposite.png,mask.png,batch.png\n")
    assert run("batch", "pairs.csv", "out", "--device", "cpu", *model)[0] == 0
    in_batch = np.asarray(Image.open(tmp_path / "out" / "batch.png")).astype(int)
    assert np.abs(in_batch - harmonized).max() <= 1  # a batch computes on one core, and sums in another order
    assert run("demo", "-o", "demo.png", "--device", "cpu", *model)[0] == 0
