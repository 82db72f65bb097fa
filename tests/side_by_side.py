"""Tests side by side in several processes (pytest-xdist): tests that share a fixture stay in one process."""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling


class ByModuleAndSystem(LoadScopeScheduling):
    """Hands out modules in the order of collection. One that runs in several Debian systems counts once for each.

    A module's fixtures start a backend, a GIMP or a Krita: split up, its tests would start one in each process.
    """

    def schedule(self) -> None:
        self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        system = re.search(r"debian-\w+", nodeid)
        return f"{module} {system[0]}" if system else module
