"""Installing the engine from inside a real Krita: what a user sees, and what is left when something goes wrong."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.thin.engine import offer
from backend.thin.engine.switch import CPU, CUDA, Engine
from tests.backend.real_backend import Backend
from tests.backend.thin.engine.conftest import Index, build_project_wheel
from tests.hosts.chroot import TRIXIE, Chroot
from tests.hosts.fresh import Fresh
from tests.hosts.krita.photograph import write_photograph
from tests.hosts.krita.program import Krita, choose_shots
from tests.hosts.package_index import PackageIndex

SLOW_S = 120.0


def labels(*words: str) -> list[str]:
    """The words without the marks of their access keys."""
    return [word.replace("&", "") for word in words]


def describe_end(version: str) -> str:
    return offer.format_end(Engine(Path(), "", version, CPU, ""))


class Outside:
    """Krita's plug-in as unpacked from an archive, with a tiny wheel, and what the driver asks for meanwhile."""

    def __init__(self, krita: Krita, folder: Path) -> None:
        self.krita, self.folder = krita, folder
        self.plug_in = krita.data / "pykrita" / "gknet_harmonize"
        self.wheels = self.plug_in / "wheel"
        self.record = (self.plug_in / "installed.json").read_text()
        self.connection = folder / "run" / "backend.json"
        self.backend: Backend | None = None
        self.index = Index()
        self.address, self.port = self.index.address, self.index.server.server_port
        self.index.close()
        self.binds = PackageIndex(folder / "certificates", krita.home).binds

    def prepare(self) -> None:
        (self.plug_in / "installed.json").write_text(json.dumps({"version": "0.1.0"}))
        build_project_wheel(self.wheels)

    def restore(self) -> None:
        self.index.close()
        if self.backend is not None:
            self.backend.end()
        (self.plug_in / "installed.json").write_text(self.record)
        for path in (self.wheels, self.krita.home / ".pyenv", self.engine):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def engine(self) -> Path:
        return self.krita.home / ".local" / "share" / "gknet" / "engine"

    def list_engine(self) -> set[str]:
        """Names of all files and folders in the engine folder."""
        return {path.name for path in self.engine.iterdir()} if self.engine.exists() else set()

    def do(self, words: str) -> None:
        if words == "open a slow index":
            self.index = Index(self.port)
            self.index.slow_s = SLOW_S
        elif words == "let the index answer at once":
            self.index.stop.set()
        elif words == "add a newer wheel":
            build_project_wheel(self.wheels, "0.2.0")
        elif words == "start a backend":
            self.backend = Backend(self.folder)
        elif words == "end the backend":
            assert self.backend is not None
            self.backend.end()
        else:
            raise AssertionError(words)

    def run(self, part: str) -> tuple[int, dict[str, Any]]:
        """Krita's exit status, and what the driver found."""
        out = self.folder / part
        variables = {
            "PIP_INDEX_URL": self.address,
            "GKNET_TORCH_INDEX": self.address,
            "NO_PROXY": "127.0.0.1",
            "PIP_CONFIG_FILE": "/dev/null",
        }
        deadline = time.monotonic() + 600
        with self.krita.start(
            "engine.py", {"part": part}, out, self.connection, binds=self.binds, variables=variables
        ) as process:
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    if (out / "do").exists():
                        words = (out / "do").read_text()
                        (out / "do").unlink()
                        self.do(words)
                        (out / "did").touch()
                    time.sleep(0.02)
            finally:
                process.terminate()
        self.index.close()
        log = (out / "log").read_text(errors="replace")
        assert (out / f"{part}.json").exists(), log[-6000:]
        assert "DRIVER FAILED" not in log, log[-6000:]
        return process.returncode, json.loads((out / f"{part}.json").read_text())


@pytest.mark.parametrize("krita_chroot", [TRIXIE], ids=["debian-trixie"], indirect=True)
def test_the_archive_is_all_that_a_fresh_home_needs(krita_chroot: Chroot, fresh: Fresh, tmp_path: Path) -> None:
    """From the menu through the window to a harmonized layer, with the real engine from this machine's package index.

    One system is enough: it takes a minute, and the window is tested on all of them below.
    """
    krita = Krita(krita_chroot, tmp_path / "home", choose_shots(krita_chroot, tmp_path / "shots"), [fresh.gknet])
    krita.import_archive(fresh.archive("krita"))
    packages = PackageIndex(tmp_path / "packages", krita.home)
    given = tmp_path / "given"
    krita.run(
        "first_use.py",
        write_photograph(given),
        tmp_path / "out",
        tmp_path / "connection" / "backend.json",
        binds=[given, *packages.binds],
        variables=packages.variables,
    )
    assert json.loads((tmp_path / "out" / "facts.json").read_text()) == {"changed": True}


@pytest.fixture(scope="module")
def outside(krita: Krita, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    made = Outside(krita, tmp_path_factory.mktemp("engine"))
    try:
        made.prepare()
        yield made
    finally:
        made.restore()


@pytest.fixture(scope="module")
def before(outside: Outside) -> dict[str, Any]:
    """A Krita that is killed in the end, while it downloads."""
    return outside.run("before")[1]


@pytest.fixture(scope="module")
def after(outside: Outside, before: dict[str, Any]) -> dict[str, Any]:
    """The next Krita, which is closed in the end, while it installs."""
    status, facts = outside.run("after")
    found = {"left_over_killed": before["left_over_killed"], "left_over_closed": outside.list_engine()}
    return {**facts, **found, "status": status}


def test_without_an_engine_the_menu_offers_to_install_it(before: dict[str, Any]) -> None:
    heading, _, size, *buttons = before["offer"]
    assert heading == "Harmonize needs its engine"
    assert size == offer.describe_size(CPU)
    assert buttons == labels(offer.INSTALL, offer.CLOSE)
    assert before["default"] == labels(offer.INSTALL)


def test_the_size_follows_the_choice_of_the_graphics_card(before: dict[str, Any]) -> None:
    assert before["graphics_card"] == [True, offer.describe_size(CUDA), offer.describe_size(CPU)]


def test_a_word_that_is_wider_than_the_window_is_broken(before: dict[str, Any]) -> None:
    assert before["long_word"] > 2


def test_a_refused_connection_is_explained_and_can_be_tried_again(before: dict[str, Any]) -> None:
    text, *buttons = before["refused"]
    assert "refused the connection" in text
    assert "HTTPS_PROXY" in text
    assert buttons == labels(offer.TRY_AGAIN, offer.CLOSE)
    assert "$ " in before["refused_log"]


def test_the_progress_and_the_log_are_shown(before: dict[str, Any]) -> None:
    text, paint_on, *buttons = before["running"]
    assert text.startswith("Downloading PyTorch")
    assert paint_on == offer.PAINT_ON
    assert buttons == labels(offer.CANCEL)
    assert "Downloading PyTorch" in before["log"]
    assert before["bar"] == sorted(before["bar"])
    assert len(set(before["bar"])) > 2
    assert before["keeps_its_size"]


def test_neither_escape_nor_enter_ends_a_download_and_cancel_leaves_nothing(before: dict[str, Any]) -> None:
    assert before["busy_after_keys"]
    assert before["cancelled"] == before["offer"]
    assert before["left_over"] == []


def test_what_a_killed_krita_left_is_gone_after_the_next_installation(after: dict[str, Any]) -> None:
    assert after["left_over_killed"] == ["0.1.0"]
    assert after["offer"][-3:] == labels(offer.INSTALL, offer.REMOVE, offer.CLOSE)
    assert after["left_over"]["installed"] == ["0.1.0"]


def test_painting_goes_on_and_the_window_comes_back_without_the_keyboard(after: dict[str, Any]) -> None:
    assert after["hidden"] == {"visible": False, "busy": True, "modal": False}
    assert after["busy_meanwhile"]
    assert after["krita_has_focus"]


def test_harmonize_follows_with_a_scripts_values_without_the_menu(after: dict[str, Any]) -> None:
    assert after["end"] == labels(describe_end("0.1.0"), offer.CONTINUE, offer.CLOSE)
    assert after["button"] == offer.MANAGE_NEWER
    assert after["strengths"][0] == 0.5


def test_a_newer_engine_is_installed_from_the_dialog_and_used(after: dict[str, Any]) -> None:
    assert after["update_offer"][0] == "A newer engine is available"
    assert after["update_offer"][-3:] == labels(offer.UPDATE, offer.REMOVE, offer.CLOSE)
    assert after["update_default"] == labels(offer.UPDATE)
    assert after["updated"] == labels(describe_end("0.2.0"), offer.CONTINUE, offer.CLOSE)
    assert after["left_over"]["updated"] == ["0.2.0"]
    assert after["button_after"] == offer.MANAGE


def test_painting_can_go_on_during_an_update_from_the_dialog(after: dict[str, Any]) -> None:
    assert after["is_of_krita"]
    assert after["updating"] == labels(offer.PAINT_ON, offer.CANCEL)


def test_the_dialog_comes_back_with_its_values(after: dict[str, Any]) -> None:
    """After Close, after the Enter key, and after the menu entry."""
    assert after["strengths"][1:] == [0.25, 0.75, 0.75]
    assert not after["window_after_menu"]
    assert after["last_strength"] == 1.0


def test_the_dialog_does_not_come_back_on_another_document(after: dict[str, Any]) -> None:
    assert after["on_another_document"] == {"dialog": False, "messages": []}


def test_enter_closes_the_window_of_a_current_engine(after: dict[str, Any]) -> None:
    assert after["current_offer"][-3:] == labels(offer.REPAIR, offer.REMOVE, offer.CLOSE)
    assert after["current_default"] == labels(offer.CLOSE)


def test_removing_asks_first_and_leaves_nothing(after: dict[str, Any]) -> None:
    assert after["question"] == offer.REMOVE_QUESTION
    assert after["removed"] == labels(offer.format_end(None), offer.CLOSE)
    assert after["left_over"]["removed"] == []
    assert not after["folder_exists"]
    assert not after["dialog_after_removal"]


def test_a_removal_has_no_details_and_cannot_be_cancelled_to_its_end(before: dict[str, Any]) -> None:
    facts = before["running_removal"]
    assert facts["running"] == labels(offer.PAINT_ON, offer.CANCEL)
    assert facts["can_cancel"]
    assert facts["has_details"] == [False, False]
    assert facts["end"] == labels(offer.format_end(None), offer.CLOSE)


def test_with_last_values_says_that_there_is_no_engine(after: dict[str, Any]) -> None:
    assert after["again"].startswith("The engine is not installed")


def test_closing_one_of_two_main_windows_does_not_end_the_installation(after: dict[str, Any]) -> None:
    assert after["taken_over"] == labels(offer.PAINT_ON, offer.CANCEL)


def test_closing_krita_ends_the_installation_with_nothing_left(after: dict[str, Any]) -> None:
    assert after["status"] == 0
    assert after["left_over_closed"] <= {"install.lock", "install.log"}
