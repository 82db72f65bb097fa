"""The folder as a plug-in has it: on its own, in the oldest Python, with nothing installed."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest

import backend.thin

pytestmark = pytest.mark.integration

THIN = Path(backend.thin.__file__).parent
FILES = sorted(THIN.rglob("*.py"))
LONG_S = 60.0

RUN = """if True:
    import sys
    before = set(sys.modules)
    sys.path.insert(0, sys.argv[1])
    from {package} import client, connection, conversation, installed, protocol, request, wire, zmtp
    from {package}.engine import command, job
    assert wire.unpack(wire.pack({{"a": [1, b"x", None]}})) == {{"a": [1, b"x", None]}}
    print(*(set(name.partition(".")[0] for name in sys.modules) - set(sys.stdlib_module_names)))
    print(wire.fallback.__name__)
    print(installed.INSTALLED)
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(THIN).as_posix())
def test_it_is_written_in_python_3_9(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(THIN).as_posix())
def test_it_asks_for_nothing_but_the_standard_library_its_neighbours_and_msgpack(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level <= len(file.relative_to(THIN).parts)  # never outside the folder
            names = [node.module or ""] if node.level == 0 else []
        assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "msgpack"}


def test_loading_it_brings_neither_numpy_nor_zmq() -> None:
    root = str(THIN.parent.parent)
    command = [sys.executable, "-c", RUN.format(package="backend.thin"), root]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True)
    modules, fallback, _ = done.stdout.splitlines()
    assert not {"numpy", "zmq", "torch", "gknet"} & set(modules.split())
    assert fallback == "msgpack.fallback"


def test_a_copy_with_msgpack_beside_it_works_where_nothing_is_installed(tmp_path: Path) -> None:
    copy = tmp_path / "plugin" / "thin"
    shutil.copytree(THIN, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "msgpack").mkdir()
    for name in ("__init__", "exceptions", "ext", "fallback"):
        shutil.copy(Path(msgpack.__file__).with_name(f"{name}.py"), copy / "msgpack")
    # -I and -S: no environment, no site-packages.
    command = [sys.executable, "-I", "-S", "-c", RUN.format(package="plugin.thin"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True)
    modules, fallback, installed = done.stdout.splitlines()
    assert set(modules.split()) <= {"plugin", "__main__"}
    assert fallback == "plugin.thin.msgpack.fallback"
    assert installed == str(tmp_path / "plugin" / "installed.json")
