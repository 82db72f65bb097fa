"""A Python from uv, for computers without a suitable one.

uv's wheel contains a program. It is fetched from the package index like any package, and checked by its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .attempt import PYTHON, Attempt
from .children import ProgramError, build_program_command, run_program
from .failures import explain_output, make_error, make_hash_error
from .fetch import fetch
from .index_page import ACCEPT, IndexFile, parse_page
from .settings import read_index_settings
from .sizes import measure_folder

VERSION = "3.13"
"""The Python that uv provides."""
_LARGEST_PAGE = 64 * 1024 * 1024
_PYTHON_BYTES = 130_000_000
"""Size of an unpacked Python."""
_HINT = "Install Python 3.11 to 3.14 from python.org or with your system's package manager, then try again."


def provide_python(folder: Path, attempt: Attempt, environment: Mapping[str, str]) -> Path:
    """Install a Python in `folder/python` and return its program. uv itself goes to `folder/tmp`.

    Raise ThinError (`backend_unavailable`, `cancelled`) or OSError.
    """
    settings = read_index_settings(environment)
    attempt.report(PYTHON, "Looking for uv, which provides Python…")
    page = bytearray()

    def add(chunk: bytes) -> None:
        page.extend(chunk)
        if len(page) > _LARGEST_PAGE:
            raise make_error("The package index sent too long a page about uv.", _HINT)

    final = fetch(f"{settings.index}/uv/", settings, attempt, accept=ACCEPT, on_chunk=add)
    try:
        files = parse_page(bytes(page), final)
    except ValueError as error:
        attempt.log(str(error))
        raise make_error("The package index's page about uv can't be read.", f"Check PIP_INDEX_URL. {_HINT}") from error
    chosen = choose_wheel(files)
    wheel = folder / "tmp" / chosen.name
    wheel.parent.mkdir(exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with wheel.open("wb") as file:

        def write(chunk: bytes) -> None:
            nonlocal count
            count += len(chunk)
            digest.update(chunk)
            file.write(chunk)
            attempt.report(PYTHON, "Downloading uv, which provides Python…", count, chosen.size)

        fetch(chosen.address, settings, attempt, on_chunk=write)
    if digest.hexdigest() != chosen.sha256:
        attempt.log(f"SHA-256 of {chosen.name}: {digest.hexdigest()} instead of {chosen.sha256}")
        raise make_hash_error()
    return _install_python(_unpack_program(wheel), folder, attempt, {**environment, **settings.build_variables()})


def choose_wheel(files: Sequence[IndexFile]) -> IndexFile:
    """Return the newest wheel for this system. Raise ThinError (`backend_unavailable`) if there is none."""
    fitting = [file for file in files if _fits_system(file.name)]
    if not fitting:
        system = f"{platform.system()} on {platform.machine()}"
        raise make_error(f"No Python was found, and the package index has no uv for {system}.", _HINT)
    return max(fitting, key=lambda file: file.version)


def _fits_system(name: str) -> bool:
    """Return whether a wheel's last tag is for this system and processor."""
    tags = name[: -len(".whl")].split("-")[-1].split(".")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "win32":
        wanted = ("win_", {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine))
    elif sys.platform == "darwin":
        wanted = ("macosx_", {"aarch64": "arm64"}.get(machine, machine))
    else:
        wanted = ("manylinux", machine)
    return any(tag.startswith(wanted[0]) and tag.endswith("_" + wanted[1]) for tag in tags)


def _unpack_program(wheel: Path) -> Path:
    name = "uv.exe" if sys.platform == "win32" else "uv"
    try:
        with zipfile.ZipFile(wheel) as archive:
            inside = next(one for one in archive.namelist() if one.endswith(f".data/scripts/{name}"))
            program = wheel.with_name(name)
            program.write_bytes(archive.read(inside))
    except (zipfile.BadZipFile, StopIteration) as error:
        raise make_error(f"{wheel.name} contains no program of uv.", _HINT) from error
    program.chmod(0o755)
    return program


def _install_python(program: Path, folder: Path, attempt: Attempt, environment: Mapping[str, str]) -> Path:
    into = folder / "python"
    words = ["python", "install", VERSION, "--install-dir", str(into), "--no-bin", "--no-config"]
    words += ["--cache-dir", str(program.parent / "uv-cache"), *(["--no-registry"] if sys.platform == "win32" else [])]
    # The certificates of the system, under the setting's present and former name.
    settings = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_NO_PROGRESS": "1"}
    text = f"Downloading Python {VERSION}…"
    attempt.report(PYTHON, text)
    try:
        run_program(
            build_program_command(program, *words),
            attempt,
            {**environment, **settings},
            on_poll=lambda _: attempt.report(PYTHON, text, measure_folder(into), _PYTHON_BYTES),
            encoding="utf-8",
        )
    except ProgramError as error:
        failure = explain_output(error.lines, "uv", server="The download server for Python")
        raise make_error(f"No Python was found, and uv can't provide one. {failure.message}", _HINT) from error
    pattern = "cpython-3*/python.exe" if sys.platform == "win32" else "cpython-3*/bin/python3"
    found = sorted(path for path in into.glob(pattern) if os.access(path, os.X_OK))
    if not found:
        raise make_error("uv installed no Python.", _HINT)
    return found[0].parent.resolve() / found[0].name
