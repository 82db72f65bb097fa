"""A GIMP with the plug-in in it."""

from __future__ import annotations

import pytest

from tests.hosts.gimp.program import Program


@pytest.fixture(scope="session")
def gimp(hosts: None, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """GIMP with a home of its own, in which `gknet install gimp` has put the plug-in."""
    del hosts
    return Program(tmp_path_factory.mktemp("gimp"))
