"""The tiers of tests, and what a test of the unit tier may not do.

A test without another tier's marker is a unit test: it starts no process, opens no socket, and opens no file larger
than a megabyte. Audit hooks enforce that, so that the unit tier stays fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.side_by_side import ByModuleAndSystem

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers share the processor's cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

TIERS = ("slow", "hosts", "integration", "unit")
"""The longest modules first, so that no process is left alone with one at the end."""
LARGEST = 1_000_000
"""Bytes of a file that a unit test may open."""
FORBIDDEN = {
    "subprocess.Popen": "starts a process",
    "os.fork": "starts a process",
    "os.posix_spawn": "starts a process",
    "socket.connect": "opens a socket",
    "socket.bind": "opens a socket",
}
_running_unit_test = False


def tier_of(item: pytest.Item) -> str:
    """Return the tier of a test. One of several tiers is in the first."""
    return next(tier for tier in TIERS if tier == "unit" or item.get_closest_marker(tier))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the hosts' folder where its tier is left out: listing its thousand tests takes seconds."""
    left_out = "not hosts" in config.getoption("markexpr")
    return True if left_out and collection_path.as_posix().endswith("tests/hosts") else None


@pytest.hookimpl(tryfirst=True)  # before tests are deselected by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/hosts/" in item.path.as_posix():
            item.add_marker(pytest.mark.hosts)
        if tier_of(item) == "unit":
            item.add_marker(pytest.mark.unit)
    items.sort(key=lambda item: TIERS.index(tier_of(item)))


@pytest.hookimpl(optionalhook=True)  # absent with -p no:xdist
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait for a backend, a command or a host."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return ByModuleAndSystem(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _running_unit_test
    _running_unit_test = tier_of(item) == "unit"
    try:
        return (yield)
    finally:
        _running_unit_test = False


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    if not _running_unit_test:
        return
    if event in FORBIDDEN:
        raise AssertionError(f"a unit test {FORBIDDEN[event]}: mark it as integration")
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].endswith((".py", ".pyc")):
        path = Path(arguments[0])
        if path.is_file() and path.stat().st_size > LARGEST:
            raise AssertionError(f"a unit test opens {path}, {path.stat().st_size} bytes: mark it as integration")


sys.addaudithook(_forbid)
