"""Installing, updating and removing from a package index on this machine: every fault leaves the old engine in use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.thin import installed
from backend.thin.engine import installer, lock, nvidia
from backend.thin.engine.attempt import STEPS, Attempt, Progress
from backend.thin.engine.environment import Sources
from backend.thin.engine.installer import install_engine, is_in_use, remove_engine
from backend.thin.engine.job import start_installation, start_removal
from backend.thin.engine.sizes import Size
from backend.thin.engine.switch import CPU, CUDA, CURRENT, Engine, read_current, switch_to
from backend.thin.engine.wheel import open_wheel
from backend.thin.protocol import BACKEND_UNAVAILABLE, CANCELLED, ThinError

from .conftest import Place, build_project_wheel

pytestmark = pytest.mark.integration

BROKEN = [{"subject": "weights", "state": "error", "text": "gknet-s is damaged.", "remedy": "Install it again."}]
ELSEWHERE = [{"subject": "Krita plug-in", "state": "error", "text": "It is disabled.", "remedy": "Enable it."}]


@pytest.fixture
def old(place: Place, attempt: Attempt) -> Engine:
    """An engine that is in use, of an older version."""
    engine = Engine(place.home, "0.0.9-old", "0.0.9", CPU, "0" * 64)
    installer.make_environment(engine.path, Path(sys.executable), attempt, {})
    (packages,) = engine.path.glob("lib/python3*/site-packages")
    with zipfile.ZipFile(build_project_wheel(place.folder / "old", "0.0.9")) as wheel:
        wheel.extractall(packages)
    switch_to(engine)
    return engine


def update(place: Place, attempt: Attempt | None = None) -> Engine:
    return install_engine(place.wish(), attempt or Attempt())


def fail(place: Place, old: Engine, message: str, hint: str = "") -> None:
    """Assert that the update fails with these words, and that the old engine works as before."""
    with pytest.raises(ThinError, match=message) as caught:
        update(place)
    assert caught.value.code == BACKEND_UNAVAILABLE
    assert caught.value.hint
    assert hint in caught.value.hint
    assert read_current(place.home) == old
    assert place.list() <= {"0.0.9", "current.json", "downloads"}
    assert caught.value.message in place.read_log()


def test_an_installation_reports_steps_and_bytes_and_leaves_only_the_engine(place: Place) -> None:
    reports: list[Progress] = []
    engine = update(place, Attempt(reports.append))
    assert place.list() == {"0.1.0", "current.json"}
    assert not (engine.path / "tmp").exists()
    steps = [progress.step for progress in reports]
    assert sorted(steps, key=STEPS.index) == steps
    assert {"torch", "libraries", "check", "switch"} <= set(steps)
    fractions = [progress.fraction for progress in reports]
    assert sorted(fractions) == fractions
    assert all(0 <= progress.bytes_done <= (progress.bytes_total or 0) for progress in reports)
    assert subprocess.run(engine.build_command("status"), check=True).returncode == 0


@pytest.mark.slow
def test_the_same_engine_is_not_installed_twice_unless_it_is_broken(place: Place) -> None:
    engine = update(place)
    asked = len(place.index.asked)
    assert update(place) == engine
    assert len(place.index.asked) == asked
    next(engine.path.glob("lib/python3*/site-packages/leaf.py")).unlink()
    assert update(place).folder != engine.folder
    assert place.list() == {"0.1.0", "current.json"}


@pytest.mark.slow
def test_an_update_replaces_the_old_engine(place: Place, old: Engine) -> None:
    engine = update(place)
    assert read_current(place.home) == engine
    assert not old.path.exists()


@pytest.mark.slow
def test_an_old_engine_in_use_is_deleted_the_next_time(
    place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "_STOP_S", 0.5)
    with subprocess.Popen(old.build_command("serve")) as backend:
        while not is_in_use(old.path):
            time.sleep(0.01)
        update(place)
        assert old.path.exists()
        with pytest.raises(ThinError, match="still in use"):
            remove_engine(Attempt(), place.home)
        backend.kill()
    update(place)
    assert not old.path.exists()


def test_windows_keeps_an_old_engine_whose_files_are_open(
    place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not is_in_use(old.path)
    assert old.path.exists()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "rename", refuse)
    assert is_in_use(old.path)
    assert not is_in_use(place.home / "absent")


@pytest.mark.usefixtures("old")
def test_removing_leaves_nothing(place: Place, attempt: Attempt) -> None:
    (place.home / "0.0.1-dead").mkdir()
    assert remove_engine(attempt)
    assert not place.home.parent.exists()
    assert not remove_engine(attempt)


@pytest.mark.slow
def test_removing_stops_an_engine_that_a_damaged_file_no_longer_names(place: Place, attempt: Attempt) -> None:
    engine = update(place)
    with subprocess.Popen(engine.build_command("serve")) as running:
        (place.home / "current.json").write_text("{")
        with pytest.raises(ThinError, match="still in use"):  # the tiny engine can't be stopped
            remove_engine(attempt, place.home)
        running.kill()
    assert "Stopping the engine in" in "".join(attempt._lines)
    assert remove_engine(attempt, place.home)
    assert not place.home.exists()


@pytest.mark.slow
def test_removing_takes_folders_that_cannot_be_opened(place: Place, attempt: Attempt) -> None:
    update(place)
    (place.home / "0.0.1-old" / "lib").mkdir(parents=True)
    (place.home / "0.0.1-old" / "lib" / "file").touch()
    (place.home / "0.0.1-old" / "lib").chmod(0)
    assert remove_engine(attempt, place.home)
    assert not place.home.exists()


def put_folder(old: Engine, _: pytest.MonkeyPatch) -> None:
    (old.home / CURRENT).unlink()
    (old.home / CURRENT).mkdir()


def put_dangling_link(old: Engine, _: pytest.MonkeyPatch) -> None:
    (old.home / CURRENT).unlink()
    (old.home / CURRENT).symlink_to(old.home.parent / "nowhere")


def put_junk(old: Engine, _: pytest.MonkeyPatch) -> None:
    (old.home / CURRENT).write_text("{", encoding="utf-8")


def put_unknown_facts(old: Engine, _: pytest.MonkeyPatch) -> None:
    (old.home / CURRENT).write_text(json.dumps({"folder": old.folder, "since": "a later version"}), encoding="utf-8")


def forbid_reading(_: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate another user's file, since root may read everything."""
    read = Path.read_text

    def refuse(path: Path, **options: str) -> str:
        if path.name == CURRENT and "-old" in read(path, **options):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, **options)

    monkeypatch.setattr(Path, "read_text", refuse)


def put_impossible_name(old: Engine, _: pytest.MonkeyPatch) -> None:
    file = old.home / CURRENT
    file.write_text(json.dumps(json.loads(file.read_text()) | {"folder": "a\0b"}))


def take_python(old: Engine, _: pytest.MonkeyPatch) -> None:
    old.python.unlink()
    old.python.symlink_to(old.home / "nowhere")


Damage = Callable[[Engine, pytest.MonkeyPatch], None]
DAMAGES: tuple[Damage, ...] = (
    put_dangling_link,
    put_junk,
    put_unknown_facts,
    put_impossible_name,
    forbid_reading,
    take_python,
)


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("damage", [put_folder, *DAMAGES])
def test_a_failed_repair_keeps_everything(
    place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch, damage: Damage, is_cancelled: bool
) -> None:
    damage(old, monkeypatch)
    before = set(old.home.rglob("*"))
    place.index.close()
    steps: list[str] = []
    with pytest.raises(ThinError):
        update(place, Attempt(lambda one: steps.append(one.step), lambda: is_cancelled and "torch" in steps))
    after = set(old.home.rglob("*"))
    assert before <= after
    assert {path.name for path in after - before} <= {lock.NAME, installer.LOG, "downloads"}
    assert not (is_cancelled and (old.home / "downloads").exists())


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repair_leaves_only_the_new_engine(
    place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    (place.home / "0.0.1-dead").mkdir()
    damage(old, monkeypatch)
    engine = update(place)
    assert read_current(place.home) == engine
    assert place.list() == {"0.1.0", "current.json"}


def test_without_a_record_leftovers_go_at_once(place: Place, old: Engine) -> None:
    (place.home / CURRENT).unlink()
    place.index.close()
    with pytest.raises(ThinError):
        update(place)
    assert not old.path.exists()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
@pytest.mark.parametrize("name", [CURRENT, lock.NAME, installer.LOG])
def test_what_stands_in_the_place_of_a_file_must_be_deleted(
    place: Place, attempt: Attempt, name: str, kind: str
) -> None:
    place.home.mkdir(parents=True)
    if kind == "folder":
        (place.home / name / "mine").mkdir(parents=True)
    else:
        os.mkfifo(place.home / name)
    acts: list[Callable[[], object]] = [lambda: update(place)]
    if name == CURRENT:
        acts.append(lambda: read_current(place.home))
    for act in acts:
        with pytest.raises(ThinError, match=rf"{name} is not a file") as caught:
            act()
        assert caught.value.hint == "Delete it, then install the engine again."
    assert place.index.asked == []
    assert remove_engine(attempt, place.home)
    assert not place.home.exists()


def test_a_lock_that_is_a_dangling_link_is_an_error(place: Place, attempt: Attempt) -> None:
    place.home.mkdir(parents=True)
    (place.home / lock.NAME).symlink_to(place.folder / "nowhere" / "lock")
    with pytest.raises(ThinError, match=r"install\.lock can't be used"):
        install_engine(place.wish(), attempt)


@pytest.mark.slow
@pytest.mark.usefixtures("old")
def test_other_data_beside_the_engine_stays(place: Place, attempt: Attempt) -> None:
    (place.home.parent / "mine.txt").touch()
    assert remove_engine(attempt)
    assert [path.name for path in place.home.parent.iterdir()] == ["mine.txt"]


def test_a_refused_connection(place: Place, old: Engine) -> None:
    place.index.close()
    fail(place, old, "refused the connection", "PIP_INDEX_URL")


@pytest.mark.slow
def test_no_network(place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "GKNET_TORCH_INDEX"):
        monkeypatch.setenv(name, "https://index.invalid/simple")
    fail(place, old, "there is no connection", "HTTPS_PROXY")


@pytest.mark.slow
def test_a_proxy_that_refuses(place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    fail(place, old, "proxy|refused", "HTTPS_PROXY")


@pytest.mark.slow
@pytest.mark.parametrize(("status", "words"), [(404, "has no torch|404"), (500, "500|has no torch")])
def test_an_index_that_answers_with_an_error(place: Place, old: Engine, status: int, words: str) -> None:
    place.index.status = status
    fail(place, old, words, "PIP_INDEX_URL")


@pytest.mark.slow
def test_a_package_that_the_index_lacks(place: Place, old: Engine) -> None:
    del place.index.files["leaf-1.0-py3-none-any.whl"]
    fail(place, old, "no leaf")


@pytest.mark.slow
def test_another_attempt_continues_with_what_was_downloaded(
    place: Place, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")  # pip keeps nothing from an index without encryption
    leaf = place.index.files.pop("leaf-1.0-py3-none-any.whl")
    with pytest.raises(ThinError, match="has no leaf"):
        update(place)
    assert place.list() == {"downloads"}
    place.index.files["leaf-1.0-py3-none-any.whl"] = leaf
    place.index.asked.clear()
    update(place, attempt)
    (downloaded,) = (path for path in place.index.asked if path.endswith(".whl"))
    assert "leaf" in downloaded
    assert place.list() == {"0.1.0", "current.json"}


@pytest.mark.slow
def test_a_wrong_hash(place: Place, old: Engine) -> None:
    place.index.damaged.add("leaf-1.0-py3-none-any.whl")
    fail(place, old, "SHA-256 is wrong", "Try again")


@pytest.mark.slow
def test_too_little_space(place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer, "estimate_size", lambda _: Size(0, 0, 10**18))
    fail(place, old, r"needs 1000000000.0 GB in .*, but only", "Free some disk space")


@pytest.mark.parametrize("part", ["gknet", "gknet/engine"])
def test_what_stands_in_the_place_of_a_folder_is_named(place: Place, part: str) -> None:
    path = place.home.parents[1] / part
    path.parent.mkdir(parents=True)
    path.touch()
    acts: list[Callable[[], object]] = [lambda: update(place)]
    if path == place.home:
        acts.append(lambda: remove_engine(Attempt()))
    for act in acts:
        with pytest.raises(ThinError, match=f"{part} is not a folder") as caught:
            act()
        assert caught.value.hint == "Rename or delete it, then try again."
    assert path.is_file()


def test_a_folder_that_cannot_be_used(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:  # root may write everywhere
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ThinError, match="engine can't be used: Permission denied") as caught:
        update(place)
    assert "full access" in caught.value.hint


def test_an_engine_that_fails_its_check(place: Place, old: Engine) -> None:
    place.wheel = open_wheel(build_project_wheel(place.folder / "broken", findings=BROKEN))
    fail(place, old, "does not work: gknet-s is damaged", "Install it again.")


@pytest.mark.slow
def test_faults_elsewhere_do_not_fail_the_check(place: Place) -> None:
    place.wheel = open_wheel(build_project_wheel(place.folder / "elsewhere", findings=ELSEWHERE))
    update(place)


def test_a_damaged_wheel_in_the_archive(place: Place, old: Engine) -> None:
    content = bytearray(place.wheel.path.read_bytes())
    content[110] ^= 255
    place.wheel.path.write_bytes(content)
    fail(place, old, "is damaged|can't be read", "archive")


@pytest.mark.slow
def test_a_folder_of_wheels_needs_no_network(place: Place, attempt: Attempt) -> None:
    folder = place.folder / "Räder und mehr"
    folder.mkdir()
    for name, content in place.index.files.items():
        (folder / name).write_bytes(content)
    place.index.close()
    install_engine(place.wish(sources=Sources(offline=folder)), attempt)
    assert place.list() == {"0.1.0", "current.json"}
    (folder / "leaf-1.0-py3-none-any.whl").unlink()
    remove_engine(attempt)
    with pytest.raises(ThinError, match="no leaf"):
        install_engine(place.wish(sources=Sources(offline=folder)), attempt)


@pytest.mark.slow
def test_a_path_with_spaces_and_umlauts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(place.folder / "Größe & 'Daten'"))
    engine = update(place)
    assert engine.path.is_relative_to(place.folder / "Größe & 'Daten'")
    assert subprocess.run(engine.build_command("status"), check=True).returncode == 0


@pytest.mark.slow
def test_a_second_installer_waits_and_uses_what_the_first_one_made(place: Place) -> None:
    place.index.slow_s = 0.2
    engines: list[Engine] = []
    texts: list[str] = []
    first, second = (
        threading.Thread(target=lambda: engines.append(update(place, Attempt(lambda one: texts.append(one.text)))))
        for _ in range(2)
    )
    first.start()
    second.start()
    first.join()
    second.join()
    assert engines[0] == engines[1]
    assert "Another installation is running. Waiting for it…" in texts
    assert place.list() == {"0.1.0", "current.json"}


def test_waiting_for_another_installer_can_be_cancelled(place: Place, attempt: Attempt) -> None:
    with lock.hold_lock(place.home, attempt):
        job = start_installation(place.wish())
        job.cancel()
        assert job.wait(5)
    with pytest.raises(ThinError) as caught:
        job.get_engine()
    assert caught.value.code == CANCELLED


@pytest.mark.parametrize(
    "step", ["torch", *(pytest.param(step, marks=pytest.mark.slow) for step in ("look", "libraries", "check"))]
)
def test_cancelling_at_any_step_keeps_the_old_engine(place: Place, old: Engine, step: str) -> None:
    is_cancelled = False

    def watch(progress: Progress) -> None:
        nonlocal is_cancelled
        is_cancelled = progress.step == step

    with pytest.raises(ThinError, match="Cancelled"):
        update(place, Attempt(watch, lambda: is_cancelled))
    assert read_current(place.home) == old
    assert place.list() == {"0.0.9", "current.json"}
    update(place)
    assert place.list() == {"0.1.0", "current.json"}


def test_cancelling_after_the_switch_is_too_late(place: Place) -> None:
    steps: list[str] = []
    engine = update(place, Attempt(lambda one: steps.append(one.step), lambda: "switch" in steps))
    assert read_current(place.home) == engine


@pytest.mark.slow
def test_whether_to_cancel_is_asked_often(place: Place) -> None:
    gaps = []
    last = time.monotonic()

    def ask() -> bool:
        nonlocal last
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
        return False

    place.index.slow_s = 0.3
    update(place, Attempt(is_cancelled=ask))
    assert sorted(gaps)[-len(gaps) // 20] < 0.1  # a busy machine may delay a few


def test_a_job_installs_and_removes_on_its_own_thread(place: Place) -> None:
    job = start_installation(place.wish())
    while not job.is_done:
        assert job.progress.step in STEPS
        time.sleep(0.01)
    engine = job.get_engine()
    assert engine is not None
    assert engine.version == "0.1.0"
    assert job.log.exists()
    job = start_removal()
    assert job.wait(30)
    assert job.get_engine() is None
    assert not place.home.exists()


def test_the_cuda_build_needs_a_driver(place: Place, old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "_ROOT", place.folder)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ThinError, match="No NVIDIA driver") as caught:
        install_engine(place.wish(sources=Sources(build=CUDA)), Attempt())
    assert "driver" in caught.value.hint
    assert read_current(place.home) == old
    for platform, file in (("linux", "proc/driver/nvidia/version"), ("win32", "System32/nvcuda.dll")):
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv("SYSTEMROOT", str(place.folder))
        assert not nvidia.has_nvidia_driver()
        (place.folder / file).parent.mkdir(parents=True)
        (place.folder / file).touch()
        assert nvidia.has_nvidia_driver()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not nvidia.has_nvidia_driver()


def test_plug_ins_use_the_engine_only_if_there_is_no_other_command(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "INSTALLED", place.folder / "installed.json")
    monkeypatch.setenv("PATH", str(place.folder / "bin"))
    monkeypatch.setattr(installed, "_PLACES", ())
    assert installed.choose_command() is None
    engine = update(place)
    assert installed.build_command("serve") == [str(engine.python), "-I", "-m", "backend", "serve"]
    (place.folder / "bin").mkdir()
    (place.folder / "bin" / "gknet").touch(mode=0o755)
    assert installed.build_command("serve") == [str(place.folder / "bin" / "gknet"), "serve"]
    (place.folder / "bin" / "gknet").unlink()
    engine.python.unlink()
    with pytest.raises(ThinError, match="no longer works"):
        installed.build_command("serve")
    assert update(place).folder != engine.folder


def test_a_job_says_what_it_is_and_can_be_started_again(place: Place) -> None:
    place.index.status = 404
    job = start_installation(place.wish())
    assert job.can_cancel
    assert not job.is_removal
    assert job.wait(60)
    with pytest.raises(ThinError):
        job.get_engine()
    place.index.status = 200
    again = job.restart()
    assert again.wait(60)
    assert again.get_engine() == read_current(place.home)
    assert not again.can_cancel
    removal = start_removal()
    assert removal.is_removal
    assert removal.wait(60)
