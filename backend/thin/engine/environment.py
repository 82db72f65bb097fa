"""Making the engine's environment: Python's venv, the packages with pip, and the check with `gknet doctor`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .attempt import CHECK, ENVIRONMENT, LIBRARIES, TORCH, Attempt
from .children import ProgramError, build_module_command, run_program
from .failures import explain_output, make_error
from .settings import check_address, read_index_settings
from .sizes import estimate_size, measure_folder
from .switch import CPU, CUDA, Engine, get_python
from .wheel import Wheel

INDEX_VARIABLE = "GKNET_TORCH_INDEX"
"""Environment variable with the address of a copy of PyTorch's package index."""
_TORCH_INDEX = "https://download.pytorch.org/whl/"
_CUDA = "cu130"
"""PyTorch's name of its CUDA build for Windows. On Linux, the usual index has that build."""
_PINNED = re.compile(r"^torch==([\w.]+)$", re.MULTILINE)
_CHECKED = ("Python", "GKNet Harmonize", "libraries", "torch", "device", "weights", "ports")
"""Subjects of `gknet doctor` that an engine depends on. The others are about the hosts and the running backend."""
_COMPILED = "torch,numpy,pillow,pyvips-binary,safetensors,pyzmq,msgpack,psutil,cffi,numba,llvmlite,scipy"
"""Packages that are never built from source, which would need a compiler. pyvips itself is published only as source."""
_EXTRAS = "edges"
"""Optional packages that the dialogs need."""
_ELSEWHERE = {
    "linux": "Set XDG_DATA_HOME to a folder whose path does not contain it, then try again.",
    "darwin": "Use an account whose home folder has another name.",
    "win32": "Set LOCALAPPDATA to a folder whose path does not contain it, then try again.",
}
_DOCTOR_S = 180.0  # the first start of new programs is slow, above all under an antivirus program
_TRUSTSTORE = (23, 3)
"""First pip that can use the system's certificates when asked to. From 24.2 on, it always does."""

_UNWANTED = (
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REPORT"),
    *("PIP_NO_DEPENDENCIES", "PIP_REQUIRE_VENV"),  # other names of options in _PIP_VARIABLES
)
"""Variables of the user that would change what pip installs, or where."""
_PIP_VARIABLES = {
    **dict.fromkeys(("PIP_USER", "PIP_DRY_RUN", "PIP_NO_DEPS", "PIP_REQUIRE_VIRTUALENV", "PIP_QUIET"), "0"),
    **dict.fromkeys(("PIP_NO_INPUT", "PIP_DISABLE_PIP_VERSION_CHECK"), "1"),
}
"""Variables that override the user's settings files, where the same options may stand."""


@dataclass(frozen=True)
class Sources:
    """Where packages come from.   offline: folder with all wheels, None for the package index.

    build: PyTorch's, one of BUILDS. A folder decides itself which build it has.
    """

    offline: Path | None = None
    build: str = CPU


def check_path(folder: Path) -> None:
    """Raise ThinError (`backend_unavailable`) if Python can't make environments in a folder because of its path."""
    if os.pathsep in str(folder):
        raise make_error(
            f"Python can't make environments in {folder}, because that path contains “{os.pathsep}”.",
            _ELSEWHERE.get(sys.platform, _ELSEWHERE["linux"]),
        )


def make_environment(folder: Path, python: Path, attempt: Attempt, environment: Mapping[str, str]) -> None:
    """Make an empty environment with pip in a folder. Raise ThinError."""
    attempt.report(ENVIRONMENT, "Making the engine's environment…")
    # venv can add pip itself, but then hides why that failed.
    for program, module, words in (
        (python, "venv", ("--without-pip", str(folder))),
        (get_python(folder), "ensurepip", ("--default-pip",)),
    ):
        try:
            run_program(build_module_command(program, module, *words), attempt, environment)
        except ProgramError as error:
            raise explain_output(error.lines, f"{program} -m {module}") from error


def install_packages(
    folder: Path, wheel: Wheel, sources: Sources, attempt: Attempt, environment: Mapping[str, str], cache: Path
) -> None:
    """Install PyTorch, the wheel and its dependencies in an environment.   cache: folder for pip's downloads.

    Raise ThinError (`backend_unavailable`, `cancelled`) or OSError.
    """
    constraints = folder / "constraints.txt"
    constraints.write_text(wheel.read_constraints(), encoding="utf-8")
    pinned = _PINNED.search(constraints.read_text(encoding="utf-8"))
    if pinned is None:
        raise make_error(f"{wheel.path} names no version of PyTorch.", "Download the archive of the plug-in again.")
    size = estimate_size(sources.build)
    pip = _Pip(folder, sources, attempt, environment, cache, constraints)
    requirement, index = choose_torch(sources, pinned[1], environment)
    words = [requirement] if sources.build == CUDA else ["--no-deps", requirement]
    pip.install(TORCH, "PyTorch", words, size.torch, index)
    pip.install(LIBRARIES, "the libraries", [f"{wheel.path}[{_EXTRAS}]"], size.libraries)


def choose_torch(sources: Sources, version: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the requirement for PyTorch, and the address of the additional index that has it, or ""."""
    tag = ""
    if sources.offline is None and sys.platform.startswith("linux") and sources.build == CPU:
        tag = "cpu"  # the usual index has the CUDA build, which is ten times as large
    elif sources.offline is None and sys.platform == "win32" and sources.build == CUDA:
        tag = _CUDA
    if not tag:
        return f"torch=={version}", ""
    if environment.get(INDEX_VARIABLE):
        check_address(environment[INDEX_VARIABLE], INDEX_VARIABLE)
    return f"torch=={version}+{tag}", environment.get(INDEX_VARIABLE) or _TORCH_INDEX + tag


def check_engine(engine: Engine, attempt: Attempt, environment: Mapping[str, str]) -> None:
    """Run the engine's `gknet doctor`. Raise ThinError (`backend_unavailable`) if the engine doesn't work."""
    attempt.report(CHECK, "Checking the engine…")
    words = build_module_command(engine.python, "backend", "doctor", "--json", options=("-X", "utf8"))
    hint = "Try again. The log has the details."
    complaints: list[str] = []  # libraries warn there, which says nothing about the engine
    try:
        lines = run_program(words, attempt, environment, timeout_s=_DOCTOR_S, encoding="utf-8", complaints=complaints)
    except ProgramError as error:
        if error.status != 1:
            how = "did not answer" if error.status is None else f"ended with status {error.status}"
            last = next((line for line in reversed([*error.lines, *complaints]) if line), "")
            raise make_error(f"The new engine does not work: `gknet doctor` {how}. {last}".rstrip(), hint) from error
        lines = error.lines
    except OSError as error:
        raise make_error(f"The new engine does not start: {error.strerror or error}.", hint) from error
    for finding in _parse_findings(lines):
        if finding["subject"] in _CHECKED and finding["state"] == "error":
            raise make_error(f"The new engine does not work: {finding['text']}", str(finding["remedy"]) or hint)


def build_environment(given: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """Return the environment for Python and pip: the user's, with temporary files in a folder of ours."""
    kept = {name: value for name, value in given.items() if name not in _UNWANTED}
    folders = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    return {**kept, **folders, **_PIP_VARIABLES}


def _parse_findings(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Return the findings of `gknet doctor`, which libraries may have surrounded with lines of theirs."""
    text = "\n".join(lines)
    for start in re.finditer(r"\[", text):
        with suppress(ValueError, TypeError, RecursionError):
            findings, _ = json.JSONDecoder().raw_decode(text, start.start())
            if findings and all({"subject", "state", "text", "remedy"} <= set(one) for one in findings):
                return list(findings)
    raise make_error(
        "The new engine does not work: the answer of `gknet doctor` can't be read.",
        "Try again. The log has the details.",
    )


class _Pip:
    def __init__(
        self,
        folder: Path,
        sources: Sources,
        attempt: Attempt,
        environment: Mapping[str, str],
        cache: Path,
        constraints: Path,
    ) -> None:
        self._python = get_python(folder)
        self._attempt = attempt
        self._environment = dict(environment)
        self._temporary = environment["TMPDIR"]
        self._more_indexes: tuple[str, ...] = ()
        self._log = Path(self._temporary) / "pip.log"
        self._log.touch(0o600)  # pip appends to it
        # The user's settings files may name other places. pip ignores empty variables, but not empty options. An empty
        # prefix or root would be the current folder.
        self._words = ["--target", "", "--prefix", str(folder), "--root", folder.anchor, "--report", ""]
        self._words += ["--log", str(self._log), "--only-binary", _COMPILED, "--no-color", "--progress-bar", "off"]
        # pip names a fault of the network only when it tries again.
        self._words += ["--constraint", str(constraints), "--cache-dir", str(cache), "--retries", "3"]
        if sources.offline is not None:
            self._words += ["--isolated", "--no-index", "--find-links", str(sources.offline)]
            self._environment["PIP_CONFIG_FILE"] = os.devnull  # `--isolated` alone reads the system's settings
            return
        self._more_indexes = read_index_settings(environment).more_indexes
        if _TRUSTSTORE <= self._find_version(folder) < (24, 2):
            self._words += ["--use-feature", "truststore"]

    def install(self, step: str, what: str, words: Sequence[str], expected: int, index: str = "") -> None:
        """Run `pip install`.   what: for the user.   expected: bytes to download.   index: an additional one, or ""."""
        self._attempt.report(step, f"Downloading {what}…", 0, expected)

        def report(lines: Sequence[str]) -> None:
            if any(line.startswith("Installing collected packages") for line in lines):
                self._attempt.report(step, f"Installing {what}…", expected, expected)
            else:
                done = min(measure_folder(self._temporary), expected)
                self._attempt.report(step, f"Downloading {what}…", done, expected)

        command = build_module_command(self._python, "pip", "--python", "", "install", *self._words, *words)
        environment = self._environment
        if index:  # not on the command line, which others can read. The variable overrides the user's own indexes.
            environment = {**environment, "PIP_EXTRA_INDEX_URL": " ".join((*self._more_indexes, index))}
        try:
            run_program(command, self._attempt, environment, on_poll=report)
        except ProgramError as error:
            details = self._read_details()
            for line in details:
                self._attempt.log(f"  {line}")
            raise explain_output(error.lines, "pip", details=details) from error

    def _read_details(self) -> list[str]:
        """Return pip's lines about pages that it could not fetch, which only its own log has."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if "Could not fetch URL" in line]

    @staticmethod
    def _find_version(folder: Path) -> tuple[int, ...]:
        """Return the version of pip in an environment, (0,) if it is unknown."""
        for root, folders, _ in os.walk(folder):
            for name in folders:
                if found := re.fullmatch(r"pip-(\d+)\.(\d+).*\.dist-info", name):
                    return int(found[1]), int(found[2])
            if Path(root).name == "site-packages":
                break
        return (0,)
