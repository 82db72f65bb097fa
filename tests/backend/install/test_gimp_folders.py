"""`gknet install gimp`: where GIMP 3 keeps its plug-ins, and what is there afterwards."""

from __future__ import annotations

import ast
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from backend.install import gimp
from gknet.errors import HarmonizeError

NAME = "gknet-harmonize"
FILES = sorted((Path(gimp.__file__).parents[2] / gimp.PACKAGE).glob("*.py"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home folder with nothing in it, on Linux."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "GIMP3_DIRECTORY", "GKNET_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def started(home: Path) -> Path:
    """The plug-ins folder of a GIMP 3.0 that has been started."""
    folder = home / ".config" / "GIMP" / "3.0" / "plug-ins"
    folder.parent.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("older", ["", "2.10"])
def test_no_settings_folder_is_made_before_gimp_has_made_it(home: Path, older: str) -> None:
    """GIMP imports an older version's settings only if it creates its own folder itself."""
    if older:
        (home / ".config" / "GIMP" / older / "brushes").mkdir(parents=True)
    before = sorted(home.rglob("*"))
    assert gimp.find_plug_in_folders() == []
    with pytest.raises(HarmonizeError, match="GIMP 3") as caught:
        gimp.install(None)
    assert "Start GIMP once" in caught.value.hint
    assert gimp.uninstall(None) == ["The plug-in is not installed: GIMP 3 has no settings folder here."]
    assert sorted(home.rglob("*")) == before


def test_it_goes_to_every_gimp_3_there_is_and_to_no_other(home: Path) -> None:
    places = [
        home / ".config" / "GIMP" / "3.0",
        home / ".config" / "GIMP" / "3.10",
        home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP" / "3.2",
        home / "snap" / "gimp" / "current" / ".config" / "GIMP" / "3.0",
    ]
    for folder in [*places, home / ".config" / "GIMP" / "2.10", home / ".config" / "GIMP" / "3.x"]:
        folder.mkdir(parents=True)
    assert gimp.find_plug_in_folders() == [place / "plug-ins" for place in places]
    lines = gimp.install(None)
    for place in places:
        assert any(str(place) in line for line in lines)
        assert (place / "plug-ins" / NAME / f"{NAME}.py").exists()


def test_the_users_own_settings_folder_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "settings"))
    (home / "settings" / "GIMP" / "3.0").mkdir(parents=True)
    assert gimp.find_plug_in_folders() == [home / "settings" / "GIMP" / "3.0" / "plug-ins"]
    monkeypatch.setenv("GIMP3_DIRECTORY", "elsewhere")  # GIMP takes it from the home folder on
    assert gimp.find_plug_in_folders() == []
    assert "GIMP3_DIRECTORY" in gimp.explain_never_started()[0]
    (home / "elsewhere").mkdir()
    assert gimp.find_plug_in_folders() == [home / "elsewhere" / "plug-ins"]


@pytest.mark.parametrize(
    ("platform", "roaming", "expected"),
    [
        ("darwin", None, "Library/Application Support/GIMP/3.0/plug-ins"),
        ("win32", None, "AppData/Roaming/GIMP/3.0/plug-ins"),
        ("win32", "Elsewhere", "Elsewhere/GIMP/3.0/plug-ins"),
    ],
)
def test_other_systems_have_other_places(
    home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, roaming: str | None, expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("APPDATA", raising=False)
    if roaming is not None:
        monkeypatch.setenv("APPDATA", str(home / roaming))
    (home / expected).parent.mkdir(parents=True)
    assert gimp.find_plug_in_folders() == [home / expected]


def test_what_is_installed_is_complete_and_can_be_run(started: Path) -> None:
    lines = gimp.install(None)
    folder = started / NAME
    main = folder / f"{NAME}.py"
    assert main.read_text().startswith("#!/usr/bin/env python3\n")
    assert stat.S_IMODE(main.stat().st_mode) == 0o755
    assert (folder / "thin" / "client.py").exists()
    assert (folder / "thin" / "msgpack" / "fallback.py").exists()
    assert json.loads((folder / "installed.json").read_text())["command"][0] == sys.executable
    assert str(folder) in lines[-2]
    assert "Filters → Harmonize…" in lines[-1]


def test_the_bit_that_an_archive_lost_is_set_and_gimp_is_made_to_look_again(
    started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    install = gimp.installation.install_plug_in

    def put_from_an_archive(package: str, folder: Path) -> None:
        install(package, folder)
        main = folder / f"{NAME}.py"
        main.chmod(0o644)
        os.utime(main, (0, 0))
        seen.append((main.stat().st_mode & 0o111, main.stat().st_mtime))

    monkeypatch.setattr(gimp.installation, "install_plug_in", put_from_an_archive)
    gimp.install(None)
    main = started / NAME / f"{NAME}.py"
    assert seen == [(0, 0.0)]
    assert main.stat().st_mode & 0o111 == 0o111
    assert main.stat().st_mtime > 1e9


def test_what_is_not_ours_is_never_replaced(started: Path, tmp_path: Path) -> None:
    own = started / NAME
    own.mkdir(parents=True)
    (own / "precious.txt").write_text("mine")
    with pytest.raises(HarmonizeError, match="was not created by"):
        gimp.install(None)
    assert (own / "precious.txt").read_text() == "mine"
    elsewhere = tmp_path / "checkout"
    own.rename(elsewhere)
    own.symlink_to(elsewhere)
    with pytest.raises(HarmonizeError, match="was not created by"):
        gimp.install(None)
    assert (elsewhere / "precious.txt").read_text() == "mine"


def test_a_named_folder_is_used_and_cleared_again(home: Path) -> None:
    folder = home / "somewhere" / "plug-ins"
    lines = gimp.install(folder)
    assert (folder / NAME / f"{NAME}.py").exists()
    assert any("Preferences" in line for line in lines)
    assert not (home / ".config").exists()
    assert gimp.uninstall(folder) == [f"Removed {folder / NAME}."]
    assert list(folder.iterdir()) == []


def test_installing_again_replaces_what_is_there(started: Path) -> None:
    gimp.install(None)
    folder = started / NAME
    (folder / "left-over.py").touch()
    gimp.install(None)
    assert not (folder / "left-over.py").exists()
    assert (folder / f"{NAME}.py").exists()


def test_uninstalling_what_is_not_there_says_so(started: Path) -> None:
    (line,) = gimp.uninstall(None)
    assert "not installed" in line
    assert str(started) in line


def test_a_folder_of_somebody_elses_is_left_alone(started: Path) -> None:
    folder = started / NAME
    folder.mkdir(parents=True)
    (folder / "mine.py").touch()
    with pytest.raises(HarmonizeError, match="was not created by"):
        gimp.uninstall(None)
    assert (folder / "mine.py").exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_plug_in_asks_for_nothing_but_what_every_gimp_has(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    allowed = {*sys.stdlib_module_names, "gi", "thin", *(other.stem for other in FILES)}
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= allowed
