"""A Krita with the plug-in in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hosts.chroot import Chroot
from tests.hosts.krita.program import Krita


@pytest.fixture(scope="session")
def krita(krita_chroot: Chroot, tmp_path_factory: pytest.TempPathFactory) -> Krita:
    """A user's Krita with the plug-in in it; screenshots go to the folder `krita-VERSION` of GKNET_SHOTS, if that is
    set."""
    shots = Path(os.environ.get("GKNET_SHOTS") or tmp_path_factory.mktemp("shots")).absolute()
    return Krita(krita_chroot, tmp_path_factory.mktemp("krita-home"), shots / f"krita-{krita_chroot.version('krita')}")
