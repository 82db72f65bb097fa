"""Installing the engine from inside a real Krita: what a user sees, and what is left when something goes wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backend.real_backend import Backend
from tests.backend.thin.engine.conftest import Index, build_project_wheel
from tests.hosts.krita.program import Krita
from tests.hosts.package_index import PackageIndex

SLOW_S = 120.0


class Outside:
    """Krita's plug-in as unpacked from an archive, with a tiny wheel, and what the driver asks for meanwhile."""

    def __init__(self, krita: Krita, folder: Path) -> None:
        self.krita, self.folder = krita, folder
        self.plug_in = krita.data / "pykrita" / "gknet_harmonize"
        self.wheels = self.plug_in / "wheel"
        self.record = (self.plug_in / "installed.json").read_text()
        self.backend = Backend(folder)
        self.index = Index()
        self.address, self.port = self.index.address, self.index.server.server_port
        self.index.close()
        self.binds = PackageIndex(folder / "certificates", krita.home).binds

    def prepare(self) -> None:
        (self.plug_in / "installed.json").write_text(json.dumps({"version": "0.1.0"}))
        build_project_wheel(self.wheels)

    def restore(self) -> None:
        self.index.close()
        self.backend.end()
        (self.plug_in / "installed.json").write_text(self.record)
        for path in (self.wheels, self.krita.home / ".pyenv", self.engine):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def engine(self) -> Path:
        return self.krita.home / ".local" / "share" / "gknet" / "engine"

    def do(self, words: str) -> None:
        if words in ("open the index", "open a slow index"):
            self.index = Index(self.port)
        if words in ("slow the index down", "open a slow index"):
            self.index.slow_s = SLOW_S
        if words == "add a newer wheel":
            build_project_wheel(self.wheels, "0.2.0")
        if words == "end the backend":
            self.backend.end()

    def run(self, part: str) -> tuple[int, dict[str, Any]]:
        """Krita's exit status, and what the driver found."""
        out = self.folder / part
        variables = {
            "PIP_INDEX_URL": self.address,
            "GKNET_TORCH_INDEX": self.address,
            "NO_PROXY": "127.0.0.1",
            "PIP_CONFIG_FILE": "/dev/null",
        }
        deadline = time.monotonic() + 600
        with self.krita.start(
            "engine.py", {"part": part}, out, self.backend.path, binds=self.binds, variables=variables
        ) as process:
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    if (out / "do").exists():
                        words = (out / "do").read_text()
                        (out / "do").unlink()
                        self.do(words)
                        (out / "did").touch()
                    time.sleep(0.02)
            finally:
                process.terminate()
        self.index.close()
        log = (out / "log").read_text(errors="replace")
        assert (out / f"{part}.json").exists(), log[-6000:]
        assert "DRIVER FAILED" not in log, log[-6000:]
        return process.returncode, json.loads((out / f"{part}.json").read_text())


@pytest.fixture(scope="module")
def outside(krita: Krita, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    made = Outside(krita, tmp_path_factory.mktemp("engine"))
    made.prepare()
    yield made
    made.restore()


@pytest.fixture(scope="module")
def before(outside: Outside) -> dict[str, Any]:
    return outside.run("before")[1]


def test_nothing(before: dict[str, Any]) -> None:
    print(json.dumps(before, indent=1))


def test_nothing2(before: dict[str, Any], outside: Outside) -> None:
    print(json.dumps(outside.run("after"), indent=1))
    print(sorted(outside.engine.iterdir()))
