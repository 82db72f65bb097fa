"""Which GIMPs and Kritas are found, however they were installed; and that install and uninstall follow them."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from backend.install import gimp, hosts, krita, programs, release
from backend.install.doctor import plug_ins, running
from backend.install.programs import Program
from gknet.errors import HarmonizeError, InputError

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine with nothing on it, its root included."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(programs, "_ROOT", tmp_path / "root")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "GIMP3_DIRECTORY", "GKNET_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_every_kind_is_found_on_linux(home: Path) -> None:
    root = home.parent / "root"
    found = [
        Program(program(root / "usr/bin/krita"), programs.PACKAGE),
        Program(program(root / "snap/bin/krita"), programs.SNAP),
        Program(program(root / "var/lib/flatpak/exports/bin/org.kde.krita"), programs.FLATPAK),
        Program(program(home / ".local/share/flatpak/exports/bin/org.kde.krita"), programs.FLATPAK),
        Program(program(home / "Downloads/krita-5.2.9-x86_64.appimage"), programs.APP_IMAGE),
    ]
    assert programs.find_programs("Krita") == found
    assert programs.find_programs("GIMP") == []
    assert len(programs.describe_programs("Krita")) == len(found)


def test_the_gimp_before_3_does_not_count_and_links_count_once(home: Path) -> None:
    folder = home.parent / "root" / "usr" / "bin"
    (folder / "gimp").parent.mkdir(parents=True)
    (folder / "gimp").symlink_to(program(folder / "gimp-2.10"))
    program(home / "GIMP-2.10.38.AppImage")
    program(home / "GIMP_AppImage-release-2.10.25-x86_64.AppImage")
    program(home / "my-gimp-brushes.AppImage")
    assert programs.find_programs("GIMP") == []
    (folder / "gimp").unlink()
    (folder / "gimp").symlink_to(program(folder / "gimp-3.0"))
    assert programs.find_programs("GIMP") == [Program(folder / "gimp", programs.PACKAGE)]


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A folder in which nobody may look."""
    if os.geteuid() == 0:  # root may look anywhere, except where no folder can be
        return tmp_path / ("x" * 300)
    folder = tmp_path / "closed"
    folder.mkdir(0)
    return folder / "folder"


def test_folders_that_cannot_be_read_are_passed_over(
    home: Path, unreadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Program(program(home / "bin/krita"), programs.PACKAGE)
    monkeypatch.setenv("PATH", f"{unreadable}{os.pathsep}{home / 'bin'}")
    assert programs.find_programs("GIMP") == []
    assert programs.find_programs("Krita") == [found]
    monkeypatch.setattr(programs, "_ROOT", unreadable)
    assert programs.find_programs("Krita") == [found]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROGRAMFILES", str(home))
    (home / "Krita").mkdir()
    (home / "Krita" / "bin").symlink_to(unreadable)
    assert programs.find_programs("Krita") == []


def test_a_link_that_leads_to_itself_hides_no_other_program(home: Path) -> None:
    found = Program(program(home / ".local/share/flatpak/exports/bin/org.kde.krita"), programs.FLATPAK)
    loop = home / "bin" / "krita-5.appimage"
    loop.parent.mkdir()
    loop.symlink_to(loop)
    assert found in programs.find_programs("Krita")


@pytest.mark.usefixtures("home")
def test_data_folders_that_cannot_be_read_are_named_or_passed_over(
    unreadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIMP3_DIRECTORY", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(unreadable))
    with pytest.raises(HarmonizeError, match="Neither GIMP nor Krita"):
        hosts.find_hosts(None)
    for host in (gimp, krita):
        for dest in (None, unreadable):
            with pytest.raises(HarmonizeError):
                host.install(dest)
    assert gimp.uninstall(None) == ["The plug-in is not installed: GIMP 3 has no settings folder here."]
    with pytest.raises(HarmonizeError, match="cannot be removed"):
        krita.uninstall(None)
    assert [found.state for found in [*plug_ins.check_gimp(), *plug_ins.check_krita()]] == ["warning"] * 3
    monkeypatch.setenv("GKNET_CONNECTION", str(unreadable / "backend.json"))
    assert "error" in {found.state for found in [*running.check_folders(), *running.check_backend()]}


def test_mac_and_windows_are_searched_in_their_usual_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    app = program(home.parent / "root/Applications/GIMP.app")
    own = program(home / "Applications/krita.app")
    assert programs.find_programs("GIMP") == [Program(app, programs.PACKAGE)]
    assert programs.find_programs("Krita") == [Program(own, programs.PACKAGE)]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROGRAMFILES", str(home / "Program Files"))
    monkeypatch.setenv("LOCALAPPDATA", str(home / "Local"))
    program(home / "Program Files/GIMP 2/bin/gimp.exe")
    for_all = program(home / "Program Files/Krita (x64)/bin/krita.exe")
    of_user = program(home / "Local/Programs/GIMP 3/bin/gimp-3.0.exe")
    assert programs.find_programs("Krita") == [Program(for_all, programs.PACKAGE)]
    assert programs.find_programs("GIMP") == [Program(of_user, programs.PACKAGE)]


def test_a_host_that_was_never_started_is_served_where_it_will_look(home: Path) -> None:
    flatpaks = home / ".local/share/flatpak/exports/bin"
    program(flatpaks / "org.gimp.GIMP")
    program(flatpaks / "org.kde.krita")
    assert gimp.find_plug_in_folders() == []
    with pytest.raises(HarmonizeError, match=r"org.gimp.GIMP .* has not been started yet"):
        gimp.install(None)
    assert [place.data for place in krita.find_places()] == [home / ".var/app/org.kde.krita/data/krita"]
    program(home / "krita.AppImage")
    assert krita.find_places()[0].data == home / ".local/share/krita"


def answering(path: Path, text: str) -> Path:
    """A program that says this, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def test_versions_are_found_out_by_each_kinds_own_way(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = home.parent / "root"
    answering(root / "usr/bin/gimp", "GNU Image Manipulation Program version 3.2.6")
    program(home / "Downloads/GIMP-3.0.4-x86_64.AppImage")
    program(root / "snap/bin/gimp")
    facts = root / "snap/gimp/current/meta/snap.yaml"
    facts.parent.mkdir(parents=True)
    facts.write_text("name: gimp\nversion: '3.0.6'\nbase: core24\n")
    answering(
        home / "bin/flatpak", "GIMP 2 is older\n\n          ID: org.gimp.GIMP\n     Version: 3.2.4\n   License: GPL-3.0"
    )
    monkeypatch.setenv("PATH", str(home / "bin"))
    program(root / "var/lib/flatpak/exports/bin/org.gimp.GIMP")
    program(root / "usr/bin/krita")
    found = {one.kind: one.version for one in programs.find_programs("GIMP")}
    assert found == {
        programs.PACKAGE: "3.2.6",
        programs.APP_IMAGE: "3.0.4",
        programs.SNAP: "3.0.6",
        programs.FLATPAK: "3.2.4",
    }
    assert [one.version for one in programs.find_programs("Krita")] == [""]  # an empty file cannot be run


def test_a_newer_gimp_takes_the_plug_in_over_from_the_older_ones_folder(home: Path) -> None:
    answering(home.parent / "root/usr/bin/gimp", "GNU Image Manipulation Program version 3.2.6")
    (home / ".config/GIMP/3.0").mkdir(parents=True)
    lines = gimp.install(None)
    assert (home / ".config/GIMP/3.0/plug-ins" / gimp.NAME).exists()
    assert not (home / ".config/GIMP/3.2").exists()
    assert any("has not been started yet" in line and "copies the plug-in" in line for line in lines)


def test_an_older_gimp_beside_a_newer_ones_folder_has_to_be_started_first(home: Path) -> None:
    answering(home.parent / "root/usr/bin/gimp", "GNU Image Manipulation Program version 3.0.4")
    (home / ".config/GIMP/3.2").mkdir(parents=True)
    lines = gimp.install(None)
    assert any("has not been started yet" in line and "Start GIMP once" in line for line in lines)


def test_flatpaks_gimp_uses_the_usual_folder_too_and_is_said_to_need_the_backend(home: Path) -> None:
    program(home / ".local/share/flatpak/exports/bin/org.gimp.GIMP")
    (home / ".config/GIMP/3.2").mkdir(parents=True)
    assert gimp.find_unstarted_versions() == []
    lines = gimp.install(None)
    assert (home / ".config/GIMP/3.2/plug-ins" / gimp.NAME).exists()
    assert "gknet serve" in lines[-1]


@pytest.mark.parametrize(
    ("version", "newer"), [("3.2.6", False), ("3.10.0", True), ("4.0", True), ("3.0", False), ("", False)]
)
def test_versions_newer_than_the_tested_ones_are_told_apart(version: str, newer: bool) -> None:
    assert programs.is_newer_than_tested("GIMP", version) == newer


def test_all_means_those_that_are_there(home: Path) -> None:
    with pytest.raises(HarmonizeError, match="Neither GIMP nor Krita"):
        hosts.find_hosts(None)
    program(home / "krita.AppImage")
    assert hosts.find_hosts(None) == [krita]
    (home / ".config/GIMP/3.2").mkdir(parents=True)
    assert hosts.find_hosts(None) == [gimp, krita]
    assert hosts.choose_hosts("all", None) == [gimp, krita]
    with pytest.raises(InputError, match="One folder"):
        hosts.choose_hosts("all", home)


def test_nothing_is_left_by_uninstalling(home: Path) -> None:
    (home / ".config/GIMP/3.0").mkdir(parents=True)
    for host in (gimp, krita):
        host.install(None)
    settings = home / ".config" / "kritarc"
    settings.write_text(settings.read_text() + "\n[gknet_harmonize]\nstrength=0.5\n")
    kept = home / ".config/GIMP/3.0/plug-in-settings/GimpProcedureConfigRun-gknet-harmonize.last"
    program(kept)
    for host in (gimp, krita):
        host.uninstall(None)
    assert [file for file in home.rglob("*") if file.is_file()] == []


def test_the_archives_hold_what_install_puts(home: Path) -> None:
    dist = home.parent / "dist"
    dist.mkdir()
    wheel = dist / "gknet_harmonize-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    with zipfile.ZipFile(release.write_gimp_archive(dist, wheel)) as archive:
        archive.extractall(home / "by-hand")
        assert archive.getinfo(f"{gimp.NAME}/{gimp.MAIN}").external_attr >> 16 & 0o111 == 0o111
    with zipfile.ZipFile(release.write_krita_archive(dist, wheel)) as archive:
        archive.extractall(home / "by-hand")
    gimp.install(home / "put")
    krita.install(home / "put")
    for by_hand, put in ((gimp.NAME, gimp.NAME), (krita.NAME, f"pykrita/{krita.NAME}")):
        names = [{file.relative_to(folder) for file in folder.rglob("*")} for folder in folders(home, by_hand, put)]
        assert names[0] - names[1] == {Path("wheel"), Path("wheel", wheel.name)}  # which `gknet install` leaves out
        assert names[1] <= names[0]
    # They can be taken away like any other.
    assert gimp.uninstall(home / "by-hand") == [f"Removed {home / 'by-hand' / gimp.NAME}."]


def folders(home: Path, by_hand: str, put: str) -> tuple[Path, Path]:
    return home / "by-hand" / by_hand, home / "put" / put
