"""The Debian systems of `make-chroot`, in which real hosts run: one for each generation of GIMP and Krita."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("GKNET_CHROOTS", "/var/tmp/gknet-hosts"))


@dataclass(frozen=True)
class Chroot:
    """A Debian suite's system.

    suite: as `make-chroot` names it.
    """

    suite: str

    @property
    def root(self) -> Path:
        return FOLDER / self.suite

    @functools.cache  # noqa: B019  there are three of them
    def why_unusable(self) -> str:
        """Why nothing can be run here, or "". With GKNET_HOSTS=required the chroot is built if it is absent."""
        if os.environ.get("GKNET_HOSTS") == "required":
            built = subprocess.run([HERE / "make-chroot", self.suite], capture_output=True, text=True, check=False)
            return "" if built.returncode == 0 else f"make-chroot failed: {built.stderr or built.stdout}"
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            return "only root can enter the chroots that hold GIMP and Krita"
        if not (self.root / ".hosts-version").exists():
            return f"{self.root} does not exist: run tests/hosts/make-chroot {self.suite}, or set GKNET_HOSTS=required"
        return ""

    def command(
        self, words: Sequence[str | Path], *, home: Path, binds: Sequence[Path] = (), display: bool = True
    ) -> list[str | Path]:
        """What runs a command inside, with `home` and `binds` at their own paths, on a virtual display of its own."""
        bound = [word for folder in binds for word in ("-b", folder)]
        return [HERE / "in-chroot", *bound, "-H", home, *([] if display else ["-n"]), *words]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment for `command` that hands these variables on."""
        return {**os.environ, **variables, "CHROOT": str(self.root), "PASS_ENV": " ".join(variables)}

    @functools.cache  # noqa: B019
    def version(self, package: str) -> str:
        """The upstream version of an installed Debian package, such as "3.2.6"."""
        words = ["dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "-W", "-f", "${Version}", package]
        full = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return re.split(r"[-+~]", full.rpartition(":")[2])[0]


TRIXIE, SID, EXPERIMENTAL = (Chroot(suite) for suite in ("trixie", "sid", "experimental"))
WITH_GIMP = (TRIXIE, SID)
WITH_KRITA = (TRIXIE, SID, EXPERIMENTAL)
"""Experimental's GIMP is sid's."""
