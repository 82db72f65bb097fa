"""A Krita with the plug-in installed, run with a driver inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.hosts.chroot import Chroot

DRIVERS = Path(__file__).parent
COMMAND = (sys.executable, "-m", "backend")
_IMPORT = """if True:
    import builtins, json, sys
    builtins.i18n = str
    sys.path.insert(0, "/usr/share/krita/pykrita/plugin_importer")
    from plugin_importer import PluginImporter
    print(json.dumps([one["name"] for one in PluginImporter(sys.argv[1], sys.argv[2], lambda _: True).import_all()]))
"""


class Krita:
    """One user of a chroot's Krita: a home with the plug-in and the test driver in it. One run at a time."""

    def __init__(self, chroot: Chroot, home: Path, shots: Path, command: Sequence[str | Path] = COMMAND) -> None:
        self.chroot, self.home, self.shots, self.command = chroot, home, shots, command
        self.data = home / ".local" / "share" / "krita"
        self.plug_in = self.data / "pykrita" / "gknet_harmonize"
        self.settings = home / ".config" / "kritarc"
        shots.mkdir(parents=True, exist_ok=True)
        self.told = gknet("install", "krita", home=home, command=command)
        for name in ("gknet_test_driver", "gknet_test_driver.desktop"):
            (self.data / "pykrita" / name).symlink_to(DRIVERS / name)
        (self.settings.parent / "kritadisplayrc").write_text("[General]\nOpenGLRenderer=none\n")
        settings = self.settings.read_text()
        self.settings.write_text(settings.replace("[python]\n", "[python]\nenable_gknet_test_driver=true\n"))

    def import_archive(self, archive: Path) -> None:
        """Replaces the plug-in by an archive's, with Krita's own importer, and switches it on."""
        gknet("uninstall", "krita", home=self.home, command=self.command)
        assert not self.plug_in.exists()
        assert "gknet_harmonize" not in self.settings.read_text()
        words = self.chroot.command(
            ["python3", "-c", _IMPORT, archive, self.data], home=self.home, binds=[archive.parent], display=False
        )
        said = subprocess.run(words, env=self.chroot.environment({}), capture_output=True, text=True, check=True)
        assert json.loads(said.stdout.splitlines()[-1]) == ["gknet_harmonize"]
        # What Krita's Python Plugin Manager does when the box is ticked.
        settings = self.settings.read_text()
        self.settings.write_text(settings.replace("[python]\n", "[python]\nenable_gknet_harmonize=true\n"))

    def start(
        self,
        driver: str,
        given: Mapping[str, Any],
        out: Path,
        connection: Path,
        binds: Sequence[Path] = (),
        screen: str = "1600x1000",
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Krita with a driver that writes to `out`; standard output and error go to `out`/log.

        variables: more of the environment.
        """
        out.mkdir(parents=True, exist_ok=True)
        connection.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (out / "given.json").write_text(json.dumps(given))
        variables = {
            **(variables or {}),
            "KRITA_DRIVER": str(DRIVERS / driver),
            "DRIVER_OUT": str(out),
            "DRIVER_GIVEN": str(out / "given.json"),
            "DRIVER_SHOTS": str(self.shots),
            "GKNET_CONNECTION": str(connection),
        }
        binds = [DRIVERS, out, self.shots, connection.parent, *binds]
        words = self.chroot.command(["krita", "--nosplash"], home=self.home, binds=binds)
        words[1:1] = ["-s", screen]
        with (out / "log").open("w") as log:
            return subprocess.Popen(
                words, env=self.chroot.environment(variables), stdout=log, stderr=subprocess.STDOUT, text=True
            )

    def run(self, driver: str, given: Mapping[str, Any], out: Path, connection: Path, **more: Any) -> str:
        """What Krita said, when the driver has ended well."""
        with self.start(driver, given, out, connection, **more) as process:
            try:
                status = process.wait(900)
            finally:
                process.terminate()
        log = (out / "log").read_text(errors="replace")
        assert status == 0, log[-6000:]
        assert "DRIVER OK" in log, log[-6000:]
        return log


def choose_shots(chroot: Chroot, otherwise: Path) -> Path:
    """The folder of this Krita's screenshots, in that of GKNET_SHOTS if it is set."""
    return Path(os.environ.get("GKNET_SHOTS") or otherwise).absolute() / f"krita-{chroot.version('krita')}"


def gknet(*arguments: str, home: Path, command: Sequence[str | Path] = COMMAND) -> str:
    """What the command says, for a user with this home."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        [*command, *arguments],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
