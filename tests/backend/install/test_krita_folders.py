"""Where Krita's plug-in is put, and what happens to Krita's settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from backend.install import krita
from gknet.errors import HarmonizeError

SETTINGS = b"[MainWindow]\nState=AAAA\xff=\n\n[python]\nenable_other=true\n\n[theme]\nTheme=Krita dark\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux user's home, with nothing in it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: home)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_plug_in_is_put_in_place_and_enabled(home: Path) -> None:
    told = "\n".join(krita.install(None))
    data = home / ".local" / "share" / "krita"
    assert {
        "pykrita/gknet_harmonize.desktop",
        "pykrita/gknet_harmonize/__init__.py",
        "pykrita/gknet_harmonize/Manual.html",
        "pykrita/gknet_harmonize/installed.json",
        "pykrita/gknet_harmonize/thin/client.py",
        "pykrita/gknet_harmonize/thin/msgpack/fallback.py",
        "actions/gknet_harmonize.action",
    } <= files(data)
    assert (home / ".config" / "kritarc").read_text() == "[python]\nenable_gknet_harmonize=true\n"
    assert str(data / "pykrita" / "gknet_harmonize") in told
    assert "Filter → Harmonize…" in told


def test_everything_is_taken_away_again(home: Path) -> None:
    settings = home / ".config" / "kritarc"
    settings.parent.mkdir()
    settings.write_bytes(SETTINGS)
    krita.install(None)
    assert settings.read_bytes() != SETTINGS
    assert "Removed" in krita.uninstall(None)[0]
    assert files(home) == {".config/kritarc"}
    assert settings.read_bytes() == SETTINGS
    assert "is not in" in krita.uninstall(None)[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"[python]\nenable_gknet_harmonize=true\n"),
        (b"[a]\nb=c", b"[a]\nb=c\n\n[python]\nenable_gknet_harmonize=true\n"),
        (SETTINGS, SETTINGS.replace(b"[python]\n", b"[python]\nenable_gknet_harmonize=true\n")),
        (b"[python]\nenable_gknet_harmonize=false\n", b"[python]\nenable_gknet_harmonize=true\n"),
        (b"[python]\r\nx=y\r\n", b"[python]\r\nenable_gknet_harmonize=true\r\nx=y\r\n"),
        (
            b"[python2]\nenable_gknet_harmonize=no\n",
            b"[python2]\nenable_gknet_harmonize=no\n\n[python]\nenable_gknet_harmonize=true\n",
        ),
    ],
)
def test_only_one_line_of_the_settings_changes(home: Path, before: bytes, after: bytes) -> None:
    settings = home / ".config" / "kritarc"
    settings.parent.mkdir()
    settings.write_bytes(before)
    settings.chmod(0o640)
    krita.install(None)
    assert settings.read_bytes() == after
    assert settings.stat().st_mode & 0o777 == 0o640
    krita.install(None)
    assert settings.read_bytes() == after


def test_with_a_named_folder_only_files_are_placed(home: Path, tmp_path: Path) -> None:
    told = "\n".join(krita.install(tmp_path / "data"))
    assert (tmp_path / "data" / "pykrita" / "gknet_harmonize.desktop").exists()
    assert files(home) == set()
    assert "Python Plugin Manager" in told
    krita.uninstall(tmp_path / "data")
    assert files(tmp_path / "data") == set()


def test_xdg_folders_are_heeded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    assert krita.find_places() == [krita.Place(tmp_path / "d" / "krita", tmp_path / "c" / "kritarc")]
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert krita.find_places()[0].data == home / ".local" / "share" / "krita"


def test_flatpak_and_snap_are_served_where_they_have_been_used(home: Path) -> None:
    own = krita.find_places()
    flatpak, snap = home / ".var" / "app" / "org.kde.krita", home / "snap" / "krita" / "current"
    flatpak.mkdir(parents=True)
    boxed = krita.Place(flatpak / "data" / "krita", flatpak / "config" / "kritarc")
    assert krita.find_places() == [boxed]
    own[0].data.mkdir(parents=True)
    snap.mkdir(parents=True)
    assert krita.find_places() == [
        *own,
        boxed,
        krita.Place(snap / ".local" / "share" / "krita", snap / ".config" / "kritarc"),
    ]


def test_mac_and_windows_have_places_of_their_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    library = home / "Library"
    assert krita.find_places() == [
        krita.Place(library / "Application Support" / "krita", library / "Preferences" / "kritarc")
    ]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", "/roaming")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert krita.find_places() == [krita.Place(Path("/roaming/krita"), Path("/local/kritarc"))]


def test_settings_that_cannot_be_changed_are_an_error_that_says_what_to_do(home: Path) -> None:
    (home / ".config" / "kritarc").mkdir(parents=True)
    with pytest.raises(HarmonizeError) as caught:
        krita.install(None)
    assert "kritarc" in caught.value.message
    assert "Python Plugin Manager" in caught.value.hint
