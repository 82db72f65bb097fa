"""The engine window: from a home with nothing but the archive to a result, and what goes wrong on the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from backend import Client
from backend.install.release import write_gimp_archive
from backend.thin.engine.lock import NAME as LOCK
from backend.thin.engine.offer import TITLE
from tests.backend.thin.engine.conftest import ENGINE, Index, build_project_wheel
from tests.hosts.chroot import TRIXIE, Chroot
from tests.hosts.fresh import Fresh
from tests.hosts.gimp import cases
from tests.hosts.gimp.program import KEY, Desk, Program, await_that
from tests.hosts.package_index import PackageIndex

WINDOW = "Harmonize"
NEW = "object (harmonized)"
SMALLEST = (1280, 720)
LONG_S = 300.0
"""For a real installation."""
SERVED = ENGINE.replace("time.sleep(120)", "open(sys.prefix + '/served', 'w').close(); sys.exit(3)")
"""An engine that notes when it is to serve, and does not: there is no preview then, but an error."""


@contextmanager
def start(gimp: Program, name: str, shots: Path, variables: dict[str, str]) -> Iterator[Desk]:
    """GIMP with its windows on a small screen; screenshots go to the folder `gimp-VERSION` of GKNET_SHOTS."""
    shots = Path(os.environ.get("GKNET_SHOTS") or shots).absolute() / f"gimp-{gimp.chroot.version('gimp')}"
    shots.mkdir(parents=True, exist_ok=True)
    connection = gimp.folder / "connection" / "backend.json"
    connection.parent.mkdir(mode=0o700, exist_ok=True)
    width, height = SMALLEST
    running = gimp.start(name, connection, display=True, screen=f"{width}x{height}", **variables)
    try:
        cases.write_photographs(running.folder)
        desk = Desk(running, shots)
        desk.do("xdotool", "mousemove", str(width - 1), str(height - 1))
        yield desk
        desk.shot(f"engine-{name}-last")
    finally:
        running.close()


def open_window(desk: Desk, case: dict[str, Any], *keys: str) -> None:
    """Shows an image, and chooses Harmonize…, which opens the engine window."""
    desk.show(case)
    desk.image_window()
    desk.key(*keys)
    desk.await_window(TITLE)


def words(desk: Desk) -> str:
    """The window's first text, which is copied from it."""
    left, top, _, _ = desk.geometry(TITLE)
    return copy_at(desk, left + 60, top + 22)


def log(desk: Desk) -> str:
    """The open log at the lower end of the window."""
    left, top, width, height = desk.geometry(TITLE)
    return copy_at(desk, left + width // 2, top + height - 100)


def copy_at(desk: Desk, x: int, y: int) -> str:
    desk.do("xdotool", "mousemove", str(x), str(y), "click", "1", "key", "ctrl+a", "ctrl+c")
    return desk.clipboard()


def await_words(desk: Desk, *expected: str, timeout_s: float = 90.0) -> str:
    """The window's first text, as soon as it contains these words; the window is whole on the smallest screen."""

    def find() -> str:
        text = words(desk)
        return text if all(one in text for one in expected) else ""

    text: str = await_that(find, " and ".join(expected), timeout_s)
    left, top, width, height = desk.geometry(TITLE)
    assert min(left, top) >= 0
    assert left + width <= SMALLEST[0]
    assert top + height <= SMALLEST[1]
    return text


def leftovers(home: Path) -> set[str]:
    """Names in the engine folder but those of the lock and the log, random parts left out."""
    return {path.name.partition("-")[0] for path in home.iterdir()} - {LOCK, "install.log"}


def is_idle(desk: Desk, home: Path) -> bool:
    """Whether neither a plug-in of ours runs nor a program from the engine folder."""
    return not any(desk.do("pgrep", "-f", name) for name in ("gknet-harmonize[.]py -gimp", f"{home}/"))


def put_wheel(gimp: Program, version: str) -> Path:
    """Replaces the wheel in the plug-in."""
    shutil.rmtree(gimp.plug_in / "wheel")
    return build_project_wheel(gimp.plug_in / "wheel", version, engine=SERVED)


@pytest.mark.parametrize("gimp_chroot", [pytest.param(TRIXIE, id="debian-trixie")], indirect=True)
def test_from_the_archive_alone_to_a_result(
    gimp_chroot: Chroot, fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gimp = Program(gimp_chroot, tmp_path / "gimp", [fresh.gknet])
    gimp.unpack(fresh.archive("gimp"))
    index = PackageIndex(tmp_path / "index", gimp.home)
    gimp.binds = index.binds
    with start(gimp, "real", tmp_path, index.variables) as desk:
        open_window(desk, cases.opened()[0], "alt+r", "Up", "Return")
        assert await_words(desk, "needs its engine")
        size = desk.geometry(TITLE)[2:]
        desk.shot("engine-1-offer")
        desk.key("alt+i")
        await_words(desk, "Downloading")
        assert desk.geometry(TITLE)[2:] == size
        desk.shot("engine-2-progress")
        await_words(desk, "is installed and works.", timeout_s=LONG_S)
        assert desk.geometry(TITLE)[2:] == size
        desk.shot("engine-3-end")
        desk.key("alt+h")
        desk.await_window(WINDOW)
        await_that(lambda: desk.running.connection.exists(), "the backend")
        monkeypatch.setenv("GKNET_CONNECTION", str(desk.running.connection))
        with Client.connect(start=False) as client:
            await_that(lambda: client.status()["served"] >= 3, "the versions")
        desk.shot("engine-4-dialog")
        desk.key("alt+h")
        await_that(lambda: desk.has_layer(NEW), "the new layer")
        desk.await_no_window(WINDOW)
        desk.shot("engine-5-result")
        layers = {layer["name"]: layer["pixels"] for layer in desk.running.ask("state", "made")["layers"]}
        before, after = ((desk.running.folder / layers[name]).read_bytes() for name in ("object", NEW))
        assert len(before) == len(after)
        assert before != after


def test_faults_an_update_and_a_removal(gimp_chroot: Chroot, tmp_path: Path) -> None:
    gimp = Program(gimp_chroot, tmp_path / "gimp")
    gimp.binds = PackageIndex(tmp_path / "index", gimp.home).binds  # for its Python
    gimp.unpack(write_gimp_archive(tmp_path, build_project_wheel(tmp_path, engine=SERVED)))
    home = gimp.home / ".local" / "share" / "gknet" / "engine"
    with closing(Index()) as closed:
        address = closed.address
    variables = {
        **dict.fromkeys(("PIP_INDEX_URL", "GKNET_TORCH_INDEX"), address),
        "PIP_CONFIG_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
    with start(gimp, "faults", tmp_path, variables) as desk:
        index = fail_and_cancel(desk, home, closed.server.server_port)
        kill(desk, home)
    with closing(index), start(gimp, "mended", tmp_path, variables) as desk:
        index.slow_s = 0.0
        open_window(desk, cases.case("mended"), KEY)
        desk.key("alt+i")
        await_words(desk, "Engine 0.1.0 is installed")
        assert leftovers(home) == {"0.1.0", "current.json"}
        desk.key("alt+h")
        desk.await_window(WINDOW)
        await_that(lambda: list(home.glob("0.1.0-*/served")), "the engine's start")
        update(desk, gimp, home)
        remove(desk, home)


def fail_and_cancel(desk: Desk, home: Path, port: int) -> Index:
    """No index, then a slow one, which is returned: tries again, paints, cancels, and installs again."""
    open_window(desk, cases.case("faults"), KEY)
    desk.key("alt+i")
    text = await_words(desk, "it refused the connection.", "Check the firewall")
    desk.key("alt+d")
    await_words(desk, text)
    assert await_that(lambda: log(desk) != text and log(desk), "the log").startswith("20")
    assert text.partition("\n")[0] in log(desk)
    desk.shot("engine-refused")
    index = Index(port)
    index.slow_s = LONG_S
    desk.key("alt+t")
    await_download(index)
    desk.do("wmctrl", "-a", "– GIMP")
    await_that(lambda: "– GIMP" in desk.do("xdotool", "getactivewindow", "getwindowname"), "GIMP's window", 20)
    desk.key("ctrl+comma")  # fills the layer
    await_that(lambda: desk.running.ask("names")[1], "the painted layer")
    desk.shot("engine-painted")
    desk.do("wmctrl", "-a", TITLE)
    desk.await_window(TITLE)
    desk.key("Escape", "Return", "space")  # which do nothing
    desk.do("wmctrl", "-c", TITLE)
    await_that(lambda: desk.windows().count(TITLE) == 2, "the question")
    desk.shot("engine-question")
    desk.key("Return")
    await_that(lambda: desk.windows().count(TITLE) == 1, "the end of the question")
    await_words(desk, "Downloading PyTorch…")
    desk.key("alt+c")
    await_words(desk, "Harmonize needs its engine")
    assert leftovers(home) == set()
    index.asked.clear()
    desk.key("alt+i")
    await_download(index)
    return index


def await_download(index: Index) -> None:
    await_that(lambda: any(path.endswith(".whl") for path in index.asked), "the download")


def kill(desk: Desk, home: Path) -> None:
    """Kills GIMP during a download; all that it had started ends."""
    assert not is_idle(desk, home)
    desk.do("pkill", "-KILL", "-f", "^gimp --no-splash")
    await_that(lambda: is_idle(desk, home), "the end of the plug-in and of its programs", 20)
    assert leftovers(home) == {"0.1.0"}


def update(desk: Desk, gimp: Program, home: Path) -> None:
    """Installs a newer engine from the dialog, which then uses it."""
    desk.key("Escape")
    desk.await_no_window(WINDOW)
    put_wheel(gimp, "0.2.0")
    desk.image_window()
    desk.key(KEY)
    desk.await_window(WINDOW)
    await_that(lambda: has_sign(desk), "the error instead of a preview")
    desk.shot("engine-newer")
    desk.key("alt+n")
    desk.await_window(TITLE)
    await_words(desk, "A newer engine is available")
    desk.shot("engine-update")
    desk.key("alt+u")
    await_words(desk, "Engine 0.2.0 is installed")
    assert leftovers(home) == {"0.2.0", "current.json"}
    desk.key("alt+c")
    desk.await_no_window(TITLE)
    await_that(lambda: list(home.glob("0.2.0-*/served")), "the new engine's start")


def remove(desk: Desk, home: Path) -> None:
    """Removes the engine from the dialog, which then has an error for a preview."""
    desk.await_window(WINDOW)
    desk.key("alt+n")
    desk.await_window(TITLE)
    await_words(desk, "The engine is installed")
    desk.key("alt+m")
    await_that(lambda: desk.windows().count(TITLE) == 2, "the question")
    desk.shot("engine-remove")
    desk.key("alt+m")
    await_words(desk, "The engine was removed.")
    assert not home.parent.exists()
    desk.key("alt+c")
    desk.await_window(WINDOW)
    await_that(lambda: has_sign(desk), "the error instead of a preview")
    desk.shot("engine-removed")
    desk.key("Escape")
    desk.await_no_window(WINDOW)
    assert "The engine is not installed" in desk.running.ask("harmonize", "object", {})[1]


def has_sign(desk: Desk) -> bool:
    """Whether there is something in the place of the dialog's second picture."""
    left, top, _, _ = desk.geometry(WINDOW)
    return bool(desk.pixels(left + 310, top + 40, 260, 150).std() > 3)
