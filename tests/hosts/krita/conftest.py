"""A Krita with the plug-in in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hosts.krita.program import Krita


@pytest.fixture(scope="session")
def krita(hosts: None, tmp_path_factory: pytest.TempPathFactory) -> Krita:
    """A user's Krita with the plug-in installed; screenshots go to GKNET_SHOTS, if that is set."""
    del hosts
    shots = os.environ.get("GKNET_SHOTS")
    home = tmp_path_factory.mktemp("krita-home")
    return Krita(home, Path(shots).absolute() if shots else tmp_path_factory.mktemp("krita-shots"))
