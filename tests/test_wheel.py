"""The wheel: what it holds, and that type checkers see its types from outside."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from backend.thin.engine.wheel import open_wheel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCENE = """
import numpy as np

from gknet import Encoding, GKNet, GKNetConfig, Harmonizer, InputError, LayerFit, __version__, preset


def harmonize(composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    try:
        return Harmonizer.from_pretrained("gknet-s")(composite, mask, encoding=Encoding("linear"))
    except InputError as error:
        raise SystemExit(error.message + error.hint) from error


def fit(harmonizer: Harmonizer, layer: np.ndarray, below: np.ndarray) -> LayerFit:
    return harmonizer.fit_layer(layer, below, at=(0, 0), canvas=(8, 8))


def paper() -> GKNet:
    config: GKNetConfig = preset("gknet")
    return GKNet(config)


VERSION: str = __version__
"""
CLIENT = """
import numpy as np

from backend import BackendError, Client

from scene import VERSION


def ask(layer: np.ndarray, below: np.ndarray) -> np.ndarray:
    try:
        with Client.connect() as client:
            return client.harmonize(layer, below).pixels
    except BackendError as error:
        raise SystemExit(VERSION + error.message) from error
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "backend.install.release", "-o", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_each_archive_holds_the_wheel_and_stays_small(wheel: Path) -> None:
    archives = sorted(wheel.parent.glob("*.zip"))
    assert len(archives) == 2
    for archive in archives:
        assert archive.stat().st_size <= 20_000_000
        (inside,) = [name for name in zipfile.ZipFile(archive).namelist() if name.endswith(".whl")]
        assert inside.split("/")[-2:] == ["wheel", wheel.name]


def test_it_holds_the_constraints_of_its_dependencies(wheel: Path) -> None:
    assert open_wheel(wheel).read_constraints() == (ROOT / "constraints.txt").read_text()


def test_it_holds_model_weights_backend_and_plug_ins(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "gknet/weights/gknet-s.safetensors",
        "gknet/weights/gknet-s.safetensors.sha256",
        "gknet/demo/cutout.png",
        "backend/thin/client.py",
        "plugin_gimp/gknet-harmonize.py",
        "plugin_krita/gknet_harmonize.desktop",
    } <= names
    packages = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert {f"{package}/py.typed" for package in packages} <= names


def test_a_project_that_uses_it_is_checked_against_its_types(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: it comes with the extra dev")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)  # which is all that installing does with it
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "scene.py").write_text(SCENE)
    (project / "client.py").write_text(CLIENT)

    def check() -> subprocess.CompletedProcess[str]:
        python = str(tmp_path / "venv" / "bin" / "python")
        words = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "scene.py", "client.py"]
        return subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)

    checked = check()
    assert checked.returncode == 0, checked.stdout
    (project / "scene.py").write_text(SCENE.replace('Encoding("linear")', 'Encoding("lab")'))
    assert "scene.py" in check().stdout  # a wrong argument is found, so the types were seen
