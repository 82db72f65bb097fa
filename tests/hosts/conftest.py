"""Tests in real hosts are left out, with the reason, where there is none; GKNET_HOSTS=required makes that a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.backend.real_backend import Backend
from tests.hosts import chroot


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A host takes its time, and building one much more."""
    for item in items:
        if "tests/hosts/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def hosts() -> None:
    """A GIMP and a Krita are there."""
    if reason := chroot.ready():
        if os.environ.get("GKNET_HOSTS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def backend(hosts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A real backend outside the chroot, whose network the host shares."""
    del hosts
    running = Backend(tmp_path_factory.mktemp("backend"))
    yield running
    running.end()
