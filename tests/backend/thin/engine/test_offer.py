"""What the engine window offers, by what there is on the computer."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from backend.thin import installed
from backend.thin.engine import command, offer
from backend.thin.engine.attempt import TORCH, Attempt, Progress
from backend.thin.engine.lock import hold_lock
from backend.thin.engine.offer import INSTALL, REPAIR, UPDATE, make_offer
from backend.thin.engine.sizes import Size
from backend.thin.engine.switch import CPU, CUDA, Engine, find_engine_home, switch_to
from backend.thin.engine.wheel import find_wheel, has_wheel, parse_version
from tests.backend.real_backend import Backend

from .conftest import build_project_wheel

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("archive")]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an archive's wheel, 0.2.0, on a computer without any `gknet` command."""
    for name in ("GKNET_COMMAND", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GKNET_CONNECTION", str(tmp_path / "nowhere.json"))
    monkeypatch.setattr(installed, "INSTALLED", tmp_path / "installed.json")
    monkeypatch.setattr(installed, "find_command", lambda: None)
    folder = tmp_path / "wheel"
    build_project_wheel(folder, "0.2.0")
    monkeypatch.setattr(installed, "has_wheel", lambda: has_wheel(folder))
    monkeypatch.setattr(offer, "find_wheel", lambda: find_wheel(folder))
    return folder


def put_engine(version: str, build: str = CPU) -> Engine:
    engine = Engine(find_engine_home(), f"{version}-abc", version, build, "0" * 64)
    engine.python.parent.mkdir(parents=True)
    engine.python.symlink_to(sys.executable)
    switch_to(engine)
    return engine


def test_without_an_engine_it_offers_to_install_the_archives(archive: Path) -> None:
    made = make_offer()
    assert not made.is_ready
    assert made.action == INSTALL
    assert made.wheel is not None
    assert made.wheel.path.parent == archive
    assert not made.can_remove
    assert "installed yet" in made.text
    assert "Choose Harmonize… in the menu" in installed.make_missing_error().hint


def test_a_backend_that_was_started_by_hand_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Backend(tmp_path)
    monkeypatch.setenv("GKNET_CONNECTION", str(running.path))
    made = make_offer()
    running.end()
    assert made.is_ready
    assert made.action == INSTALL
    assert "already running" in made.text
    assert not make_offer().is_ready


def test_a_backend_that_was_started_by_hand_is_enough_with_a_broken_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_engine("0.2.0").python.unlink()
    monkeypatch.setattr(offer, "has_listener", lambda: True)
    made = make_offer()
    assert (made.is_ready, made.action) == (True, REPAIR)
    installed.INSTALLED.write_text("{")
    assert make_offer().is_ready
    monkeypatch.setenv("GKNET_COMMAND", str(tmp_path / "nowhere"))
    assert make_offer().is_ready


def test_a_copy_without_a_wheel_says_where_to_get_the_engine(archive: Path) -> None:
    next(archive.iterdir()).unlink()
    made = make_offer()
    assert (made.is_ready, made.wheel, made.action) == (False, None, "")
    assert "archive" in made.text
    assert "pip" in made.text


def test_a_wheel_that_cannot_be_read_is_named(archive: Path) -> None:
    wheel = next(archive.iterdir())
    wheel.unlink()
    wheel.mkdir()
    made = make_offer()
    assert (made.is_ready, made.action) == (False, "")
    assert str(wheel) in made.text
    assert "Download the archive" in made.text
    put_engine("0.2.0").python.unlink()
    made = make_offer()
    assert "its Python is missing" in made.text
    assert "Download the archive" in made.text
    assert made.action == ""


@pytest.mark.parametrize(
    ("version", "action"),
    [
        *(("0.1.0", UPDATE), ("0.2.0.dev3", UPDATE), ("0.2.0rc1", UPDATE)),
        *(("0.2.0", REPAIR), ("0.2.0.post1", ""), ("0.3.0", "")),
    ],
)
def test_a_newer_engine_in_the_archive_is_offered_as_an_update(version: str, action: str) -> None:
    put_engine(version)
    made = make_offer()
    assert made.is_ready
    assert made.action == action
    assert made.is_update == (action == UPDATE)
    assert made.can_remove
    assert f"ersion {version} in ~/.local/share/gknet/engine/{version}-abc." in made.text


def test_a_pre_release_is_older_than_its_release_and_a_post_release_is_newer() -> None:
    order = (
        *("0.5.9", "0.6.0.dev3", "0.6.0a1.dev1", "0.6.0a1", "0.6.0a2", "0.6.0b1", "0.6.0rc1.dev2", "0.6.0rc1"),
        *("0.6.0rc10", "0.6.0", "0.6.0.post1.dev1", "0.6.0.post1", "0.6.1.dev1", "0.6.1", "0.10.0a1"),
    )
    for older, newer in itertools.pairwise(order):
        assert parse_version(older) < parse_version(newer)
    assert parse_version("0.6") == parse_version("0.6.0") == parse_version("0.6.0+cpu.2")


def test_the_newest_wheel_of_an_archive_is_the_release(archive: Path) -> None:
    build_project_wheel(archive, "0.2.0rc1")
    wheel = find_wheel(archive)
    assert wheel is not None
    assert wheel.version == "0.2.0"


@pytest.mark.parametrize("name", ["junk", "0.3.0-1-py3-none-any", "0.2.0-py3-none-any (1)"])
def test_files_with_other_names_are_an_error_only_on_their_own(
    archive: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(command, "find_wheel", lambda: find_wheel(archive))
    stray = archive / f"gknet_harmonize-{name}.whl"
    stray.touch()
    assert make_offer().action == INSTALL
    assert (command.describe_status()["available"], command.describe_status()["problem"]) == ("0.2.0", "")
    (archive / "gknet_harmonize-0.2.0-py3-none-any.whl").unlink()
    assert f"{stray} is not a wheel" in make_offer().text
    assert command.describe_status()["available"] is None
    assert f"{stray} is not a wheel" in str(command.describe_status()["problem"])


def test_an_older_plug_in_does_not_offer_its_older_engine() -> None:
    put_engine("0.3.0")
    made = make_offer()
    assert made.wheel is None
    assert "This plug-in is older: version 0.2.0" in made.text


def test_nothing_is_offered_while_another_installer_works() -> None:
    find_engine_home().mkdir(parents=True)
    (find_engine_home() / "0.2.0-unfinished").mkdir()
    with hold_lock(find_engine_home(), Attempt()):
        made = make_offer()
        assert (made.is_ready, made.wheel, made.action, made.can_remove) == (False, None, "", False)
        assert made.heading == "An installation is running"
    put_engine("0.1.0")
    with hold_lock(find_engine_home(), Attempt()):
        made = make_offer()
    assert made.is_ready
    assert made.heading == "An installation is running"
    assert (made.is_update, made.action, made.can_remove, made.has_cuda) == (False, "", False, False)
    assert make_offer().action == UPDATE


@pytest.mark.parametrize("part", ["gknet", "gknet/engine"])
@pytest.mark.parametrize("kind", ["file", "unreadable"])
def test_an_odd_engine_folder_is_described(part: str, kind: str) -> None:
    path = find_engine_home().parents[1] / part
    path.parent.mkdir(parents=True)
    if kind == "file":
        path.touch()
    else:
        path.mkdir(mode=0)
    made = make_offer()
    assert not made.is_ready
    assert made.action in (INSTALL, REPAIR)
    assert not made.can_remove


def test_an_unknown_home_folder_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(Path, "home", fail)
    made = make_offer()
    assert not made.is_ready
    assert "home folder is unknown" in made.text
    assert "Set HOME" in made.text


def test_a_cuda_engine_without_a_driver_says_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    put_engine("0.1.0", CUDA)
    monkeypatch.setattr(offer, "has_nvidia_driver", lambda: False)
    assert "installed for the processor" in make_offer().text
    monkeypatch.setattr(offer, "has_nvidia_driver", lambda: True)
    assert "installed for the processor" not in make_offer().text


def test_a_damaged_engine_can_be_repaired_or_removed() -> None:
    put_engine("0.2.0").python.unlink()
    made = make_offer()
    assert not made.is_ready
    assert made.action == REPAIR
    assert made.can_remove
    assert "its Python is missing" in made.text


@pytest.mark.parametrize("name", ["current.json", "install.log", "install.lock"])
def test_a_folder_in_the_place_of_a_file_can_be_removed(name: str) -> None:
    (find_engine_home() / name).mkdir(parents=True)
    assert make_offer().can_remove


def test_what_a_failed_installation_left_can_be_removed() -> None:
    find_engine_home().mkdir(parents=True)
    for name in ("install.log", "install.lock"):
        (find_engine_home() / name).touch()
        assert not make_offer().can_remove
    (find_engine_home() / "downloads").mkdir()
    made = make_offer()
    assert made.action == INSTALL
    assert made.can_remove


def test_another_installation_is_preferred_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_command", lambda: sys.executable)
    made = make_offer()
    assert made.is_ready
    assert sys.executable in made.text
    assert (made.action, made.can_remove) == ("", False)
    put_engine("0.1.0")
    made = make_offer()
    assert "not used" in made.text
    assert (made.action, made.can_remove) == ("", True)


def test_a_command_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("~nosuchuser/gknet", "/nowhere/gknet"):
        monkeypatch.setenv("GKNET_COMMAND", path)
        made = make_offer()
        assert (made.is_ready, made.action) == (False, "")
        assert f"{path} does not exist" in made.text
    assert "Correct or unset GKNET_COMMAND" in made.text
    monkeypatch.delenv("GKNET_COMMAND")
    installed.INSTALLED.write_text('{"command": ["/nowhere/python", "serve"]}')
    made = make_offer()
    assert not made.is_ready
    assert "Run `gknet install`" in made.text


@pytest.mark.parametrize("content", ["{", "[" * 100_000])
def test_a_damaged_record_is_reported_and_not_repaired_with_an_engine(archive: Path, content: str) -> None:
    installed.INSTALLED.write_text(content)
    made = make_offer()
    assert (made.is_ready, made.action) == (False, "")
    assert "Install the plug-in from its archive again" in made.text
    next(archive.iterdir()).unlink()
    assert "Run `gknet install`" in make_offer().text


@pytest.mark.parametrize("build", [CPU, CUDA])
def test_cuda_is_a_choice_only_with_a_driver_and_stays_as_it_was(monkeypatch: pytest.MonkeyPatch, build: str) -> None:
    put_engine("0.1.0", build)
    monkeypatch.setattr(offer, "has_nvidia_driver", lambda: False)
    assert not make_offer().has_cuda
    assert not make_offer().uses_cuda
    monkeypatch.setattr(offer, "has_nvidia_driver", lambda: True)
    made = make_offer()
    assert made.has_cuda
    assert made.uses_cuda == (build == CUDA)
    assert ("with CUDA" in made.text) == (build == CUDA)


def test_a_first_installation_is_for_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "has_nvidia_driver", lambda: True)
    assert make_offer().has_cuda
    assert not make_offer().uses_cuda


def test_sizes_and_progress_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offer, "estimate_size", lambda _: Size(200_000_000, 50_000_000, 1_100_000_000))
    assert offer.describe_size(CPU) == "Download: 250 MB. Disk space: 1.1 GB."
    assert offer.format_progress(Progress(TORCH, "Downloading PyTorch…")) == "Downloading PyTorch…"
    half = Progress(TORCH, "Downloading PyTorch…", 100_000_000, 200_000_000)
    assert offer.format_progress(half) == "Downloading PyTorch… 100 MB of about 200 MB"


def test_the_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "install.log"
    assert offer.read_log(log) == ""
    log.write_text("\n".join(str(number) for number in range(1000)))
    assert offer.read_log(log).startswith("600\n")
