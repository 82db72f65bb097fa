"""From what is published to the real hosts' menus, without git or a compiler: wheel, `gknet install`, archives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.hosts.chroot import EXPERIMENTAL, SID, Chroot
from tests.hosts.fresh import Fresh, run
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import Desk, Program, Running, await_that
from tests.hosts.krita.photograph import write_photograph
from tests.hosts.krita.program import Krita


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the backend that a host starts will say that it is: nowhere yet."""
    folder = tmp_path_factory.mktemp("connection") / "run"
    folder.mkdir(mode=0o700)
    return folder / "backend.json"


def opened(gimp: Program, connection: Path) -> Iterator[Desk]:
    running = gimp.start("fresh", connection, display=True)
    cases.write_photographs(running.folder)
    yield Desk(running, gimp.folder)
    running.close()


def from_the_menu(desk: Desk) -> None:
    """Filters → Harmonize… by the keyboard, to the new layer."""
    desk.show(cases.opened()[0])
    desk.image_window()
    desk.key("alt+r", "Up", "Return")
    desk.await_window("Harmonize")
    desk.key("alt+h")
    await_that(lambda: "object (harmonized)" in desk.running.ask("names")[0], "the new layer")


def test_the_demo_works_from_the_wheel(fresh: Fresh, tmp_path: Path) -> None:
    run([fresh.gknet, "demo"], cwd=tmp_path, PATH="")
    assert np.asarray(Image.open(tmp_path / "gknet-demo.png")).std() > 20


def test_gimps_menu_works_with_a_backend_that_the_plug_in_starts(
    gimp_chroot: Chroot, fresh: Fresh, connection: Path, tmp_path: Path
) -> None:
    gimp = Program(gimp_chroot, tmp_path / "gimp", [fresh.gknet], fresh.binds)
    assert json.loads((gimp.plug_in / "installed.json").read_text())["command"][0] == str(fresh.python)
    for desk in opened(gimp, connection):
        from_the_menu(desk)
        assert connection.exists()


def test_kritas_menu_works_with_a_backend_that_the_plug_in_starts(
    krita_chroot: Chroot, fresh: Fresh, connection: Path, tmp_path: Path
) -> None:
    krita = Krita(krita_chroot, tmp_path / "home", tmp_path / "shots", [fresh.gknet])
    facts = through_krita(krita, connection, tmp_path, fresh.binds)
    assert facts["changed"]
    first, *rest = facts["diagnostics"].splitlines()
    version = krita_chroot.version("krita")
    assert first.startswith(f"GKNet Harmonize in Krita {version}")
    told = "\n".join(rest)
    for line in (
        "fine     weights: ",
        f"fine     Krita: {version}, /usr/bin/krita",
        "fine     Krita plug-in: It is enabled",
    ):
        assert line in told, told
    assert "\nerror" not in told
    assert str(krita.home) not in told


def through_krita(krita: Krita, connection: Path, folder: Path, binds: list[Path]) -> dict[str, Any]:
    given = folder / "given"
    krita.run("from_the_menu.py", write_photograph(given), folder / "out", connection, binds=[given, *binds])
    facts: dict[str, Any] = json.loads((folder / "out" / "facts.json").read_text())
    return facts


def test_gimps_archive_works_as_unpacked_and_says_what_is_missing_without_the_command(
    gimp_chroot: Chroot, fresh: Fresh, connection: Path, tmp_path: Path
) -> None:
    gimp = Program(gimp_chroot, tmp_path / "gimp", [fresh.gknet], fresh.binds)
    gimp.unpack(fresh.archive("gimp"))
    nowhere = connection.with_name("nowhere.json")
    running = gimp.start("without", nowhere)
    assert "The engine is not installed" in harmonized(running)[1]
    (gimp.home / ".local" / "bin").mkdir(parents=True)
    (gimp.home / ".local" / "bin" / "gknet").symlink_to(fresh.gknet)
    running = gimp.start("with", nowhere)
    assert harmonized(running) == ("success", "")


def harmonized(running: Running) -> tuple[str, str]:
    try:
        cases.write_photographs(running.folder)
        running.ask("show", cases.case("archive"))
        status, error, _ = running.ask("harmonize", "object", {})
    finally:
        running.close()
    return status, error


# Trixie's is used with the archive alone in krita/test_engine.py.
@pytest.mark.parametrize("krita_chroot", [SID, EXPERIMENTAL], ids=["debian-sid", "debian-experimental"], indirect=True)
def test_kritas_own_importer_takes_the_archive(
    krita_chroot: Chroot, fresh: Fresh, connection: Path, tmp_path: Path
) -> None:
    krita = Krita(krita_chroot, tmp_path / "home", tmp_path / "shots", [fresh.gknet])
    krita.import_archive(fresh.archive("krita"))
    assert (krita.data / "actions" / "gknet_harmonize.action").exists()
    assert not (krita.plug_in / "gknet_harmonize.action").exists()
    (krita.home / ".local" / "bin").mkdir(parents=True)
    (krita.home / ".local" / "bin" / "gknet").symlink_to(fresh.gknet)
    assert through_krita(krita, connection.with_name("other.json"), tmp_path, fresh.binds)["changed"]
