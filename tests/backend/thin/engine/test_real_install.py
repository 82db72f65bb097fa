"""The real engine from a release's archive, with this machine's own package index: killed once, then installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from backend.install import gimp, release
from backend.thin.engine.attempt import Attempt
from backend.thin.engine.pythons import check_python
from backend.thin.engine.sizes import estimate_size
from backend.thin.engine.uv import provide_python
from backend.thin.environment import clean_environment
from backend.thin.protocol import ThinError

pytestmark = pytest.mark.slow

LONG_S = 280.0


@pytest.mark.timeout(900)
def test_the_archive_alone_installs_a_working_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.disk_usage(tmp_path).free < 3e9:
        pytest.skip("too little disk space")
    release.write_release(tmp_path / "dist")
    (archive,) = (tmp_path / "dist").glob("*gimp*.zip")
    plug_ins = tmp_path / "Plug-ins für GIMP"
    zipfile.ZipFile(archive).extractall(plug_ins)
    plug_in = plug_ins / gimp.NAME
    data = tmp_path / "Meine Daten"
    for name in [name for name in os.environ if name.startswith(("XDG_", "GKNET_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "home").mkdir()
    python = getattr(sys, "_base_executable", sys.executable)
    monkeypatch.setenv("PATH", f"{Path(python).parent}:/usr/bin:/bin")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [python, "thin/engine", *words]
        return subprocess.run(command, cwd=plug_in, capture_output=True, text=True, check=False, timeout=LONG_S)

    killed = subprocess.Popen([python, "thin/engine", "install"], cwd=plug_in, stdout=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(8)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = run("install", "--python", python)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)  # the time and the size
    status = json.loads(run("status", "--json").stdout)
    assert status["engine"]["bytes"] < estimate_size("cpu").disk
    assert status["used"][:1] == [str(Path(status["engine"]["folder"]) / "bin" / "python")]
    assert not status["is_update_available"]
    home = data / "gknet" / "engine"
    assert {path.name for path in home.iterdir()} == {
        *("current.json", "install.lock", "install.log", Path(status["engine"]["folder"]).name),
    }
    subprocess.run([*status["used"][:-1], "demo"], cwd=tmp_path, check=True, timeout=LONG_S, capture_output=True)
    assert (tmp_path / "gknet-demo.png").exists()
    subprocess.run([status["used"][0], "-I", "-c", "import pymatting"], check=True)  # cleans edges
    assert run("remove").returncode == 0
    assert list(data.iterdir()) == []
    assert list((tmp_path / "home").rglob("*pip*")) == []


@pytest.mark.timeout(300)
def test_the_real_uv_provides_a_python_or_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    error: ThinError | None = None
    try:
        python = provide_python(tmp_path, Attempt(), clean_environment())
    except ThinError as raised:  # the package index may be all of the network that there is
        error = raised
    if error is None:
        assert check_python(python, Attempt(), clean_environment()) == ""
    else:
        assert "No Python was found, and uv can't provide one." in error.message
        assert "python.org" in error.hint
    assert (tmp_path / "tmp" / "uv").stat().st_size > 10_000_000
