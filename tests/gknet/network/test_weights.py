"""Weight files: they rebuild their own network, and say so when they cannot."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import gknet
from gknet import GKNet, Harmonizer, WeightsError, preset
from gknet.network import weights

pytestmark = pytest.mark.integration

SMALL = replace(preset("gknet-s"), width=8, global_head_widths=(8, 8))


def test_a_file_rebuilds_its_own_network(tmp_path: Path) -> None:
    net = GKNet(SMALL).eval()
    path = tmp_path / "net.safetensors"
    weights.save(net, path, dtype=torch.float32)
    again = weights.load(path)
    assert again.config == SMALL
    for name, tensor in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_half_precision_is_near_enough(tmp_path: Path) -> None:
    net = weights.load(weights.find_shipped("gknet-s"))
    weights.save(net, tmp_path / "half.safetensors")
    half = weights.load(tmp_path / "half.safetensors")
    picture, mask = torch.rand(1, 3, 64, 64), (torch.rand(1, 1, 64, 64) > 0.5).float()
    with torch.no_grad():
        torch.testing.assert_close(half(picture, mask), net(picture, mask), atol=2e-3, rtol=0)


def test_numbers_too_large_for_half_precision_survive(tmp_path: Path) -> None:
    net, path = GKNet(SMALL), tmp_path / "net.safetensors"
    variances = net.state_dict()["decoder.merge.1.1.running_var"]
    variances[0] = 6e8
    weights.save(net, path)
    kept = load_file(path)
    assert torch.equal(weights.load(path).state_dict()["decoder.merge.1.1.running_var"], variances)
    assert {str(tensor.dtype) for name, tensor in kept.items() if name.endswith("weight")} == {"torch.float16"}


def test_shipped_weights_are_small_and_of_their_preset() -> None:
    path = weights.find_shipped("gknet-s")
    assert path.stat().st_size <= 10_500_000
    assert weights.load(path).config == preset("gknet-s")


def test_shipped_weights_are_those_whose_checksum_is_recorded(tmp_path: Path) -> None:
    for path in weights.FOLDER.glob("*.safetensors"):
        recorded = path.with_name(f"{path.name}.sha256").read_text()
        assert recorded == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    weights.ship(GKNet(SMALL), tmp_path / "net.safetensors")
    recorded = (tmp_path / "net.safetensors.sha256").read_text()
    assert recorded == f"{hashlib.sha256((tmp_path / 'net.safetensors').read_bytes()).hexdigest()}  net.safetensors\n"


def test_weights_are_read_without_torchs_compiler() -> None:
    """Importing that takes seconds."""
    program = (
        "import sys; from gknet.network import weights; weights.load(weights.find_shipped('gknet-s')); "
        "print(sorted({'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.load(path)
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.load(path)
    weights.save(GKNet(SMALL), path)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(WeightsError, match="do not match this version"):
        weights.load(path)
    one_less = dict(list(tensors.items())[1:])
    save_file(one_less, path, metadata={"gknet_config": '{"width": 8}'})
    with pytest.raises(WeightsError, match="do not match this version"):
        weights.load(path)
    save_file(tensors, path, metadata={"gknet_config": '{"depth": 9}'})
    with pytest.raises(WeightsError, match="depth"):
        weights.load(path)
    for nothing in (float("nan"), float("inf")):
        tensors["decoder.merge.1.1.running_var"][0] = nothing
        save_file(tensors, path, metadata={"gknet_config": json.dumps(SMALL.to_dict())})
        with pytest.raises(WeightsError, match=r"NaN or infinite values in decoder\.merge\.1\.1\.running_var"):
            weights.load(path)
    for name in ("gknet-xl", "../gknet-s", "x" * 300):
        with pytest.raises(WeightsError, match="Choose one of: gknet-s"):
            weights.find_shipped(name)


def test_weights_are_found_by_name_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = GKNet(SMALL)
    folder = tmp_path / "gknet-s"
    Harmonizer(network).save_pretrained(folder)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    monkeypatch.chdir(tmp_path)
    for place in (folder, str(folder), "./gknet-s", Path("gknet-s"), folder / "model.safetensors"):
        assert weights.find(place).samefile(folder / "model.safetensors")
    assert weights.find("gknet-s") == weights.find_shipped("gknet-s")
    with pytest.raises(WeightsError, match="Choose one of: gknet-s; or name"):
        weights.find(tmp_path)
    with pytest.raises(WeightsError, match="Choose one of"):
        weights.find("x" * 300)


def test_a_saved_network_harmonizes_as_before(tmp_path: Path, photograph: np.ndarray, object_mask: np.ndarray) -> None:
    network = weights.build(SMALL)
    network.half().float()  # what a file keeps
    Harmonizer(network).save_pretrained(tmp_path / "new" / "model")
    Harmonizer(network).save_pretrained(tmp_path / "new" / "model")  # again, over the first
    again = Harmonizer.from_pretrained(tmp_path / "new" / "model", device="cpu")
    assert again.network.config == SMALL
    picture = photograph[::2, ::2], object_mask[::2, ::2]
    assert np.array_equal(again(*picture), Harmonizer(network)(*picture))


def test_weights_that_cannot_be_saved_say_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WeightsError, match="cannot be written"):
        Harmonizer(GKNet(SMALL)).save_pretrained(tmp_path / "file" / "model")


@pytest.mark.parametrize(
    "settings",
    [
        {"correlation_groups": 0},
        {"reference_heads": -8},
        {"reference_layers": 10**6},
        {"width": "8"},
        {"head_scale": float("nan")},
        {"global_head_scale": None},
        {"global_head_widths": [8]},
        {"recognition": "yes"},
        {"no_such_setting": 1},
    ],
)
def test_a_file_with_settings_that_cannot_be_is_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    path = tmp_path / "net.safetensors"
    weights.save(GKNet(SMALL), path)
    metadata = {"gknet_config": json.dumps({**SMALL.to_dict(), **settings})}
    save_file(load_file(path), path, metadata=metadata)
    with pytest.raises(WeightsError, match=next(iter(settings))):
        weights.load(path)


def test_a_file_with_other_tensors_than_its_network_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    weights.save(GKNet(SMALL), path)
    good = load_file(path)
    metadata = {"gknet_config": json.dumps(SMALL.to_dict())}
    larger = {"gknet_config": json.dumps({**SMALL.to_dict(), "width": 512})}
    head = good["head.weight"]
    for tensors, settings, reason in (
        ({name: tensor for name, tensor in good.items() if name != "head.weight"}, metadata, "head.weight is missing"),
        ({**good, "more": head.clone()}, metadata, "more is unexpected"),
        ({**good, "head.weight": head.to(torch.int8)}, metadata, "head.weight has the type torch.int8"),
        (good, larger, "has shape"),
        (good, None, "its metadata has no gknet_config"),
    ):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=settings)
        with pytest.raises(WeightsError, match=reason):
            weights.load(path)


def test_a_network_that_is_not_finite_replaces_no_good_weights(tmp_path: Path) -> None:
    network = weights.build(SMALL)
    Harmonizer(network).save_pretrained(tmp_path)
    with torch.no_grad():
        network.head.weight.fill_(float("nan"))
    with pytest.raises(WeightsError, match=r"NaN or infinite values in head\.weight"):
        Harmonizer(network).save_pretrained(tmp_path)
    assert weights.load(weights.find(tmp_path)).head.weight.isfinite().all()


def test_what_is_public_is_what_the_package_names() -> None:
    assert sorted(gknet.__all__) == [
        "CancelledError",
        "CompositeFit",
        "Encoding",
        "GKNet",
        "GKNetConfig",
        "HarmonizeError",
        "Harmonizer",
        "InputError",
        "LayerFit",
        "MissingPackageError",
        "NoBackgroundError",
        "NoForegroundError",
        "PictureError",
        "Trims",
        "UnsupportedError",
        "WeightsError",
        "__version__",
        "preset",
    ]
    assert all(getattr(gknet, name) for name in gknet.__all__)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = gknet.nothing_such
