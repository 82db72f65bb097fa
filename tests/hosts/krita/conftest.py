"""A Krita with the plug-in in it."""

from __future__ import annotations

import pytest

from tests.hosts.chroot import Chroot
from tests.hosts.krita.program import Krita, choose_shots


@pytest.fixture(scope="session")
def krita(krita_chroot: Chroot, tmp_path_factory: pytest.TempPathFactory) -> Krita:
    """A user's Krita with the plug-in in it; screenshots go to the folder `krita-VERSION` of GKNET_SHOTS, if that is
    set."""
    shots = choose_shots(krita_chroot, tmp_path_factory.mktemp("shots"))
    return Krita(krita_chroot, tmp_path_factory.mktemp("krita-home"), shots)
