"""A python3 that cannot load the plug-in: GIMP leaves it out without a word, and `gknet doctor` says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.hosts.chroot import Chroot
from tests.hosts.gimp.program import Program


def test_a_plug_in_that_gimp_leaves_out_is_named_by_doctor(gimp_chroot: Chroot, tmp_path: Path) -> None:
    """As where the environment that one works in has a Python of its own, without PyGObject."""
    program = Program(gimp_chroot, tmp_path / "gimp")
    other = tmp_path / "bin"
    other.mkdir()
    python = other / "python3"
    python.write_text('#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n')  # without the packages of the system's
    python.chmod(0o755)

    def start(path: str) -> str:
        """Starts GIMP with a PATH, ends it, and returns what doctor finds then."""
        words = ["env", f"PATH={path}", "gimp-console", "-i", "--quit"]
        subprocess.run(
            gimp_chroot.command(words, home=program.home, binds=[other], display=False),
            env=gimp_chroot.environment({}),
            cwd=tmp_path,
            capture_output=True,
            check=True,
            timeout=300,
        )
        return program.gknet("doctor")

    usual = "/usr/local/bin:/usr/bin:/bin"
    assert "GIMP left the plug-in out" in start(f"{other}:{usual}")
    assert "GIMP left the plug-in out" not in start(usual)
