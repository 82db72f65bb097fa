"""A GIMP with the plug-in in it."""

from __future__ import annotations

import pytest

from tests.hosts.chroot import Chroot
from tests.hosts.gimp.program import Program


@pytest.fixture(scope="session")
def gimp(gimp_chroot: Chroot, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """GIMP with a home of its own, in which `gknet install gimp` has put the plug-in."""
    return Program(gimp_chroot, tmp_path_factory.mktemp("gimp"))
