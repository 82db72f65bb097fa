"""A package index on this machine with tiny packages, among them an engine that answers `gknet doctor`."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backend.thin.engine import environment, installer
from backend.thin.engine.attempt import Attempt
from backend.thin.engine.sizes import Size
from backend.thin.engine.wheel import CONSTRAINTS, Wheel, open_wheel

TORCH = "9.9"
FINE = [{"subject": "weights", "state": "fine", "text": "matches.", "remedy": ""}]
ENGINE = """
import json, sys, time
if sys.argv[1:] == ["doctor", "--json"]:
    import torch, leaf
    print(json.dumps({findings!r}))
    sys.exit(any(finding["state"] == "error" for finding in {findings!r}))
if sys.argv[1:] == ["serve"]:
    time.sleep(120)
"""


def build_wheel(name: str, version: str, files: Mapping[str, str | bytes], requires: tuple[str, ...] = ()) -> bytes:
    """Return a wheel for every system with these files."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    tags = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    inside: dict[str, bytes] = {
        path: content if isinstance(content, bytes) else content.encode()
        for path, content in {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": tags}.items()
    }
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}"
        for path, content in inside.items()
    ]
    inside[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in inside.items():
            archive.writestr(path, content)
    return made.getvalue()


def build_project_wheel(
    into: Path, version: str = "0.1.0", findings: list[dict[str, str]] = FINE, requires: tuple[str, ...] = ("leaf",)
) -> Path:
    """Write a wheel with an engine that reports these findings, and return its path."""
    files = {
        "backend/__init__.py": "",
        "backend/__main__.py": ENGINE.format(findings=findings),
        f"gknet_harmonize-{version}.dist-info/{CONSTRAINTS}": f"leaf==1.0\ntorch=={TORCH}\n",
    }
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"gknet_harmonize-{version}-py3-none-any.whl"
    path.write_bytes(build_wheel("gknet_harmonize", version, files, (f"torch>={TORCH}", *requires)))
    return path


class Index:
    """A package index.   files: the content of each wheel by its name.   status: of every answer.

    damaged: names of wheels that arrive changed.   slow_s: seconds that each file takes.   port: 0 for a free one.
    """

    def __init__(self, port: int = 0) -> None:
        self.files = {
            f"torch-{TORCH}+cpu-py3-none-any.whl": build_wheel(
                "torch", f"{TORCH}+cpu", {"torch/__init__.py": "", "torch/data": os.urandom(300_000)}
            ),
            "leaf-1.0-py3-none-any.whl": build_wheel("leaf", "1.0", {"leaf.py": ""}),
        }
        self.status = 200
        self.damaged: set[str] = set()
        self.slow_s = 0.0
        self.asked: list[str] = []
        self.stop = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._make_handler())
        self.address = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, path: str, accepted: str) -> tuple[int, str, bytes]:
        name = path.strip("/").rpartition("/")[2]
        if self.status != 200:
            return self.status, "text/plain", b""
        if name in self.files:
            content = self.files[name]
            return 200, "application/octet-stream", content[:-1] + b"?" if name in self.damaged else content
        files = {one: data for one, data in self.files.items() if one.partition("-")[0] == name}
        if not files:
            return 404, "text/plain", b""
        digests = {one: hashlib.sha256(data).hexdigest() for one, data in files.items()}
        if "v1+json" in accepted:
            listed = [
                {"filename": one, "url": f"/files/{one}", "hashes": {"sha256": digest}, "size": len(files[one])}
                for one, digest in digests.items()
            ]
            answer = {"meta": {"api-version": "1.0"}, "name": name, "files": listed}
            return 200, "application/vnd.pypi.simple.v1+json", json.dumps(answer).encode()
        links = "".join(f'<a href="/files/{one}#sha256={digest}">{one}</a>' for one, digest in digests.items())
        return 200, "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()

    def _make_handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.replace("%2B", "+")
                index.asked.append(path)
                if path.endswith(".whl"):
                    index.stop.wait(index.slow_s)
                status, kind, content = index._answer(path, self.headers.get("Accept", ""))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index()
    yield made
    made.close()


@pytest.fixture(scope="session")
def environment_with_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment to copy, because making one takes seconds."""
    folder = tmp_path_factory.mktemp("engine") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    for source in (Path(sysconfig.get_path("purelib")) / "pip", *Path(sysconfig.get_path("purelib")).glob("pip-*")):
        shutil.copytree(source, packages / source.name)
    return folder


class Place:
    """A user's home, and a package index that pip uses.   home: the engine folder.   wheel: the project's."""

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.home = folder / "data" / "gknet" / "engine"
        self.index = index
        self.wheel = open_wheel(build_project_wheel(folder / "wheels"))

    def wish(self, wheel: Wheel | None = None, **options: Any) -> installer.Wishes:
        return installer.Wishes(wheel or self.wheel, python=Path(sys.executable), **options)

    def list(self) -> set[str]:
        """Names in the engine folder but those of the lock and the log, random parts left out."""
        names = {path.name for path in self.home.iterdir()} - {"install.lock", installer.LOG}
        return {name.partition("-")[0] for name in names}

    def read_log(self) -> str:
        return (self.home / installer.LOG).read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch, environment_with_pip: Path) -> Place:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "XDG_", "GKNET_"))]:
        monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index.address,
        "PIP_RETRIES": "0",
        "NO_PROXY": "127.0.0.1",
        environment.INDEX_VARIABLE: index.address,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(installer, "estimate_size", lambda _: Size(1, 1, 1))

    def copy(folder: Path, *_: object) -> None:
        shutil.copytree(environment_with_pip, folder, symlinks=True, dirs_exist_ok=True)

    monkeypatch.setattr(installer, "make_environment", copy)
    return Place(tmp_path, index)


@pytest.fixture
def attempt() -> Attempt:
    return Attempt()
