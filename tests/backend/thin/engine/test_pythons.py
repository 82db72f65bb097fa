"""Which Pythons are tried on every system, on made-up trees, and which are refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.thin.engine import pythons, switch
from backend.thin.engine.attempt import Attempt
from backend.thin.engine.children import ProgramError

GOOD = {
    "executable": "/usr/bin/python3.12",
    "version": [3, 12],
    "implementation": "cpython",
    "bits": 64,
    "machine": "x86_64",
    "platform": "linux-x86_64",
    "is_threaded_build": False,
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A computer with nothing on it. Calling it sets the system and puts a program there."""
    monkeypatch.setattr(pythons, "_ROOT", tmp_path)
    monkeypatch.setattr(sys, "executable", "/host/bin/krita")
    for name in ("APPDIR", "SNAP"):
        monkeypatch.delenv(name, raising=False)

    def put(platform: str, name: str) -> Path:
        monkeypatch.setattr(sys, "platform", platform)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
        return path

    return put


def candidates(tmp_path: Path, **environment: str) -> list[list[str]]:
    return pythons.list_candidates({"HOME": str(tmp_path / "home"), **environment})


@pytest.mark.parametrize(
    "name",
    [
        *("usr/bin/python3.11", "usr/local/bin/python3", "home/.local/bin/python3.14", "opt/python3.12/bin/python3"),
        *("home/.pyenv/versions/3.13.0/bin/python3", "home/miniconda3/bin/python3"),
        "home/.local/share/uv/python/cpython-3.13.1-linux-x86_64-gnu/bin/python3",
    ],
)
def test_usual_places_on_linux(tree: Callable[[str, str], Path], tmp_path: Path, name: str) -> None:
    path = tree("linux", name)
    assert candidates(tmp_path) == [[str(path)]]


@pytest.mark.parametrize(
    "name",
    [
        *("opt/homebrew/bin/python3.13", "opt/homebrew/opt/python@3.12/bin/python3.12", "usr/local/bin/python3"),
        *("opt/local/bin/python3.11", "Library/Frameworks/Python.framework/Versions/3.13/bin/python3"),
        "home/.pyenv/versions/3.12.1/bin/python3",
    ],
)
def test_usual_places_on_mac(tree: Callable[[str, str], Path], tmp_path: Path, name: str) -> None:
    path = tree("darwin", name)
    tree("darwin", "usr/bin/python3")  # asks to install Apple's developer tools
    assert [str(path)] in candidates(tmp_path)
    assert not any("usr/bin" in words[0] for words in candidates(tmp_path, PATH=str(tmp_path / "no")))


@pytest.mark.parametrize(
    "name",
    [
        *("Local/Programs/Python/Python313/python.exe", "Local/Python/pythoncore-3.14-64/python.exe"),
        *("Program Files/Python312/python.exe", "user/.pyenv/pyenv-win/versions/3.11.9/python.exe"),
        *("Roaming/uv/python/cpython-3.13.1-windows-x86_64-none/python.exe", "user/miniconda3/python.exe"),
        "user/scoop/apps/python/current/python.exe",
    ],
)
def test_usual_places_on_windows(tree: Callable[[str, str], Path], tmp_path: Path, name: str) -> None:
    path = tree("win32", name)
    folders = {"LOCALAPPDATA": "Local", "APPDATA": "Roaming", "PROGRAMFILES": "Program Files", "USERPROFILE": "user"}
    assert candidates(tmp_path, **{one: str(tmp_path / folder) for one, folder in folders.items()}) == [[str(path)]]


def test_the_launcher_on_windows_is_asked_for_each_version(
    tree: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("win32", "x")
    monkeypatch.setattr(pythons.shutil, "which", lambda name, path: f"{path}/{name}.exe" if name == "py" else None)
    assert candidates(tmp_path, PATH="C:/Windows") == [
        ["C:/Windows/py.exe", option] for option in ("-3.13", "-3.12", "-3.14", "-3.11")
    ]


@pytest.mark.parametrize(
    "folder", ["AppData/Local/Microsoft/WindowsApps", "krita.app/Contents/Frameworks", "GIMP.app/Contents/MacOS"]
)
def test_pythons_of_hosts_and_of_the_store_are_left_out(
    tree: Callable[[str, str], Path], tmp_path: Path, folder: str
) -> None:
    path = tree("linux", f"{folder}/python3")
    assert candidates(tmp_path, PATH=str(path.parent)) == []


def test_pythons_of_an_app_image_are_left_out(
    tree: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree("linux", "mounted/usr/bin/python3")
    monkeypatch.setenv("APPDIR", str(tmp_path / "mounted"))
    assert candidates(tmp_path, PATH=str(path.parent)) == []
    monkeypatch.setattr(sys, "executable", str(path))
    assert candidates(tmp_path) == []


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"version": [3, 10]}, "Python 3.10 is not one of 3.11 to 3.14"),
        ({"version": [3, 15]}, "Python 3.15 is not one of 3.11 to 3.14"),
        ({"bits": 32}, "64-bit"),
        ({"implementation": "pypy"}, "usual"),
        ({"is_threaded_build": True}, "usual"),
        ({"executable": "C:\\Users\\u\\AppData\\Local\\Microsoft\\WindowsApps\\python.exe"}, "store"),
    ],
)
def test_unsuitable_pythons_are_refused(monkeypatch: pytest.MonkeyPatch, facts: dict[str, object], reason: str) -> None:
    monkeypatch.setattr(pythons, "run_program", lambda *_, **__: [json.dumps({**GOOD, **facts})])
    assert reason in pythons.check_python(Path("/usr/bin/python3"), Attempt(), {})


def test_one_without_ensurepip_is_passed_over(
    tree: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, good = tree("linux", "usr/bin/python3"), tree("linux", "usr/local/bin/python3")

    def run(words: list[str], _: Attempt, environment: dict[str, str], **__: object) -> list[str]:
        assert environment["PYTHON_MANAGER_AUTOMATIC_INSTALL"] == "false"
        if words[0] == str(broken):
            raise ProgramError(["ModuleNotFoundError: No module named 'ensurepip'"], 1)
        return [json.dumps({**GOOD, "executable": words[0]})]

    monkeypatch.setattr(pythons, "run_program", run)
    assert pythons.find_python(Attempt(), {"HOME": str(tmp_path)}) == good
    good.unlink()
    assert pythons.find_python(Attempt(), {"HOME": str(tmp_path)}) is None


def test_a_mac_refuses_one_for_intel_and_windows_one_without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "run_program", lambda *_, **__: [json.dumps(GOOD)])
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(pythons.platform, "machine", lambda: "arm64")
    assert "Intel" in pythons.check_python(Path("/p"), Attempt(), {})
    monkeypatch.setattr(sys, "platform", "win32")
    assert "no packages" in pythons.check_python(Path("/p"), Attempt(), {})


@pytest.mark.parametrize(
    ("platform", "home", "python"),
    [
        ("linux", "home/.local/share/gknet/engine", "bin/python"),
        ("darwin", "home/Library/Application Support/gknet/engine", "bin/python"),
        ("win32", "Local/gknet/engine", "Scripts/python.exe"),
    ],
)
def test_the_engine_folder_of_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, home: str, python: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert switch.find_engine_home() == tmp_path / home
    assert switch.get_python(Path("e")) == Path("e") / python
