"""The Debian system of `make-chroot`, in which a real GIMP and a real Krita run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = Path(os.environ.get("CHROOT", "/var/tmp/gknet-hosts/trixie"))


def ready() -> str:
    """Why no host can be run here, or "" if one can. With GKNET_HOSTS=required the chroot is built if it is absent."""
    if os.environ.get("GKNET_HOSTS") == "required":
        built = subprocess.run([HERE / "make-chroot"], capture_output=True, text=True, check=False)
        return "" if built.returncode == 0 else f"make-chroot failed: {built.stderr or built.stdout}"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root can enter the chroot that holds GIMP and Krita"
    if not (ROOT / ".hosts-version").exists():
        return f"there is no {ROOT}: tests/hosts/make-chroot builds it, or GKNET_HOSTS=required"
    return ""


def command(
    words: Sequence[str | Path], *, home: Path, binds: Sequence[Path] = (), display: bool = True
) -> list[str | Path]:
    """What runs a command inside, with `home` and `binds` at their own paths, on a virtual display of its own."""
    bound = [word for folder in binds for word in ("-b", folder)]
    return [HERE / "in-chroot", *bound, "-H", home, *([] if display else ["-n"]), *words]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment for `command` that hands these variables on."""
    return {**os.environ, **variables, "CHROOT": str(ROOT), "PASS_ENV": " ".join(variables)}
