"""Tests in real hosts are left out, with the reason, where there is none; GKNET_HOSTS=required makes that a failure.

Each runs once in every Debian system that has its host: `pytest -m hosts -k debian-sid` runs those of one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from filelock import FileLock

from tests.backend.real_backend import Backend
from tests.hosts.chroot import EXPERIMENTAL, SID, TRIXIE, WITH_GIMP, WITH_KRITA, Chroot
from tests.hosts.fresh import Fresh


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A host takes its time, and building one much more."""
    for item in items:
        if item.get_closest_marker("hosts"):
            item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which versions were there: what was tested is what the mirror had on that day."""
    for chroot in (TRIXIE, SID, EXPERIMENTAL):
        if (chroot.root / ".hosts-version").exists():
            hosts = f"GIMP {chroot.version('gimp')}, Krita {chroot.version('krita')}"
            terminalreporter.write_line(f"hosts in {chroot.suite}: {hosts}")


@pytest.fixture(scope="session", params=WITH_GIMP, ids=lambda chroot: f"debian-{chroot.suite}")
def gimp_chroot(request: pytest.FixtureRequest) -> Chroot:
    """A system with a GIMP."""
    return usable(request.param)


@pytest.fixture(scope="session", params=WITH_KRITA, ids=lambda chroot: f"debian-{chroot.suite}")
def krita_chroot(request: pytest.FixtureRequest) -> Chroot:
    """A system with a Krita."""
    return usable(request.param)


def usable(chroot: Chroot) -> Chroot:
    """The chroot; skips the test where it cannot be used, or fails it if hosts are required."""
    if reason := chroot.why_unusable():
        if os.environ.get("GKNET_HOSTS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return chroot


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """An environment that the wheel was installed into, once for all processes that test side by side."""
    if sys.base_prefix == "/usr":
        reason = "the chroots have a /usr of their own, without this Python"
        if os.environ.get("GKNET_HOSTS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fresh"
    with FileLock(f"{folder}.lock"):
        return Fresh(folder)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A real backend outside the chroots, whose network the hosts share."""
    running = Backend(tmp_path_factory.mktemp("backend"))
    yield running
    running.end()
