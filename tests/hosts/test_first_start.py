"""`gknet install all`, `doctor` and `uninstall` in homes of every kind: nothing of the user's is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.hosts.chroot import Chroot
from tests.hosts.fresh import Fresh

LISTED = "/bin/sh", "-c", 'gimp-console -i --batch-interpreter=python-fu-eval -b "$0" --quit'
FOUND = 'from gi.repository import Gimp; print("FOUND", Gimp.get_pdb().procedure_exists("gknet-harmonize"))'


class Home:
    """A user's home on a machine with both hosts and a `gknet` of the fresh environment."""

    def __init__(self, chroot: Chroot, fresh: Fresh, folder: Path) -> None:
        self.chroot, self.fresh, self.folder = chroot, fresh, folder
        self.gimp = folder / ".config" / "GIMP"
        self.krita = folder / ".local" / "share" / "krita" / "pykrita" / "gknet_harmonize"
        self.version = chroot.version("gimp").rpartition(".")[0]

    def run(self, *words: str | Path) -> tuple[int, str]:
        """Exit code and all that was written."""
        command = self.chroot.command(words, home=self.folder, binds=self.fresh.binds, display=False)
        done = subprocess.run(
            command, env=self.chroot.environment({}), capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode, done.stdout + done.stderr

    def gknet(self, *words: str) -> tuple[int, str]:
        return self.run(self.fresh.gknet, *words)

    def start_gimp(self) -> bool:
        """Starts GIMP and ends it; whether it had the plug-in."""
        _, said = self.run(*LISTED, FOUND)
        assert "FOUND" in said, said
        return "FOUND True" in said

    def files(self, of: Sequence[str]) -> dict[str, bytes]:
        """The user's own files, by a part of their path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and any(part in path.as_posix() for part in of)
        }


OWN = ("mine.gbr", "mine.ggr", "hello.py", "mine.kpp")


def use_older(home: Home, *versions: str) -> dict[str, bytes]:
    """Settings of older versions, with a brush, a gradient and a plug-in of the user's own."""
    for version in versions:
        for name in ("brushes/mine.gbr", "gradients/mine.ggr", "plug-ins/hello/hello.py"):
            path = home.gimp / version / name
            path.parent.mkdir(parents=True)
            path.write_text(version)
    preset = home.folder / ".local/share/krita/paintoppresets/mine.kpp"
    preset.parent.mkdir(parents=True)
    preset.write_text("krita")
    return home.files(OWN)


@pytest.fixture
def home(gimp_chroot: Chroot, fresh: Fresh, tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(gimp_chroot, fresh, tmp_path / "home")


@pytest.mark.parametrize("older", [[], ["2.10"]], ids=["empty home", "home of 2.10"])
def test_gimp_is_waited_for_and_krita_served(home: Home, older: list[str]) -> None:
    own = use_older(home, *older)
    status, said = home.gknet("install", "all")
    assert status == 2
    assert "has not been started yet" in said
    assert home.krita.exists()
    assert not (home.gimp / home.version).exists(), "a folder that hides older settings from GIMP"
    assert "GIMP plug-in: GIMP" in home.gknet("doctor")[1]
    assert not home.start_gimp()
    for version in older:  # its own import has worked
        assert (home.gimp / home.version / "brushes/mine.gbr").read_text() == version
    status, said = home.gknet("install", "all")
    assert status == 0, said
    assert home.start_gimp()
    finish(home, own)


def test_a_gimp_that_follows_an_older_3_takes_the_plug_in_over(home: Home) -> None:
    if home.version == "3.0":
        pytest.skip("there is no older GIMP 3")
    own = use_older(home, "2.10", "3.0")
    status, said = home.gknet("install", "all")
    assert status == 0, said
    assert "At its first start it copies the plug-in" in said
    assert not (home.gimp / home.version).exists()
    assert home.start_gimp()
    for name in ("brushes/mine.gbr", "gradients/mine.ggr", "plug-ins/hello/hello.py"):
        assert (home.gimp / home.version / name).read_text() == "3.0"
    finish(home, own)


def finish(home: Home, own: dict[str, bytes]) -> None:
    """The doctor finds nothing wrong with the hosts and names their versions; uninstalling takes only ours away."""
    report = home.gknet("doctor")[1]
    assert f"GIMP: {home.chroot.version('gimp')}, /usr/bin/gimp (package)" in report
    lines = report.splitlines()
    assert not [line for line in lines if line.startswith("error") and ("GIMP" in line or "Krita" in line)], report
    before = home.files([""])
    status, said = home.gknet("uninstall", "all")
    assert status == 0, said
    assert not home.krita.exists()
    assert not home.start_gimp()
    gone = set(before) - set(home.files([""]))
    assert gone
    assert all("gknet" in name or name == ".config/kritarc" for name in gone), gone
    assert own.items() <= home.files(OWN).items()
