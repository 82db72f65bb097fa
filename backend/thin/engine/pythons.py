"""Finding a Python that can make an environment for the engine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .attempt import LOOK, Attempt
from .children import ProgramError, run_program

OLDEST, NEWEST = (3, 11), (3, 14)
_ROOT = Path("/")
_NAMES = ("python3", "python3.13", "python3.12", "python3.14", "python3.11", "python")
_PLACES = (
    *("~/.local/bin/{name}", "~/.pyenv/versions/3.*/bin/python3", "~/.local/share/uv/python/cpython-3.*/bin/python3"),
    *("~/miniconda3/bin/python3", "~/miniforge3/bin/python3", "~/anaconda3/bin/python3"),
)
_PLACES_ON_LINUX = ("/usr/bin/{name}", "/usr/local/bin/{name}", "/opt/python3*/bin/python3", *_PLACES)
# Not /usr/bin: its python3 asks to install Apple's developer tools.
_PLACES_ON_MAC = (
    *("/opt/homebrew/bin/{name}", "/opt/homebrew/opt/python@3.*/bin/python3.*", "/usr/local/bin/{name}"),
    *("/Library/Frameworks/Python.framework/Versions/3.*/bin/python3", "/opt/local/bin/{name}", *_PLACES),
)
_PLACES_ON_WINDOWS = (
    *("%LOCALAPPDATA%/Programs/Python/Python3*/python.exe", "%LOCALAPPDATA%/Python/pythoncore-3*/python.exe"),
    *("%PROGRAMFILES%/Python3*/python.exe", "%USERPROFILE%/.pyenv/pyenv-win/versions/3.*/python.exe"),
    *("%APPDATA%/uv/python/cpython-3.*/python.exe", "%USERPROFILE%/scoop/apps/python/current/python.exe"),
    *("%USERPROFILE%/miniconda3/python.exe", "%USERPROFILE%/miniforge3/python.exe"),
    "%USERPROFILE%/anaconda3/python.exe",
)
_LAUNCHER = ("-3.13", "-3.12", "-3.14", "-3.11")
_LAUNCHER_SETTINGS = {"PYTHON_MANAGER_AUTOMATIC_INSTALL": "false"}
"""Keeps Python's install manager for Windows from installing each version that it is asked for."""
_ANSWER_S = 20.0
_PROBE = """if True:
    import ensurepip, json, platform, ssl, struct, sys, sysconfig, venv
    print(json.dumps({
        "executable": sys.executable,
        "version": sys.version_info[:2],
        "implementation": sys.implementation.name,
        "bits": 8 * struct.calcsize("P"),
        "machine": platform.machine(),
        "platform": sysconfig.get_platform(),
        "is_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }))
"""


def find_python(attempt: Attempt, environment: Mapping[str, str]) -> Path | None:
    """Return a Python 3.11 to 3.14 that can make environments, None if there is none.

    Each candidate is started to ask it. Raise ThinError (`cancelled`).
    """
    attempt.report(LOOK, "Looking for Python…")
    for words in list_candidates(environment):
        answer, reason = _ask(words, attempt, environment)
        if answer is not None:
            attempt.log(f"Using {answer}.")
            return answer
        attempt.log(f"{' '.join(words)}: {reason}.")
    return None


def check_python(python: Path, attempt: Attempt, environment: Mapping[str, str]) -> str:
    """Return why a Python can't be used, or "". Raise ThinError (`cancelled`)."""
    return _ask([str(python)], attempt, environment)[1]


def list_candidates(environment: Mapping[str, str]) -> list[list[str]]:
    """Return the words that start each Python on PATH or in the usual places, the first choice first."""
    found = dict.fromkeys(tuple(words) for words in _iterate_candidates(environment) if not _is_unsuitable(words[0]))
    return [list(words) for words in found]


def _iterate_candidates(environment: Mapping[str, str]) -> Iterator[Sequence[str]]:
    folders = environment.get("PATH", "")
    if sys.platform == "win32":
        launcher = shutil.which("py", path=folders)
        if launcher:
            yield from ([launcher, option] for option in _LAUNCHER)
    for name in _NAMES:
        program = shutil.which(name, path=folders)
        if program and not (sys.platform == "darwin" and program.startswith("/usr/bin/")):
            yield [program]
    if Path(sys.executable or "").name.lower().startswith("python"):  # in Krita it is Krita itself
        yield [sys.executable]
    for path in _iterate_places(environment):
        yield [str(path)]


def _iterate_places(environment: Mapping[str, str]) -> Iterator[Path]:
    places = {"win32": _PLACES_ON_WINDOWS, "darwin": _PLACES_ON_MAC}.get(sys.platform, _PLACES_ON_LINUX)
    home = environment.get("HOME") or str(Path.home())
    for place in places:
        for name in _NAMES if "{name}" in place else ("",):
            pattern = place.replace("{name}", name)
            root = _ROOT
            if pattern.startswith("~/"):
                root, pattern = Path(home), pattern[2:]
            elif pattern.startswith("%"):
                variable, _, pattern = pattern[1:].partition("%/")
                if not environment.get(variable):
                    continue
                root = Path(environment[variable])
            yield from (path for path in sorted(root.glob(pattern.lstrip("/")), reverse=True) if path.is_file())


def _is_bundled(path: Path) -> bool:
    """Return whether a program is a part of a host, which can be moved, updated or removed."""
    bundles = [os.environ[name] for name in ("APPDIR", "SNAP") if os.environ.get(name)]
    if any(Path(bundle) in path.parents for bundle in bundles):
        return True
    return any(part.endswith(".app") and part.lower().startswith(("krita", "gimp")) for part in path.parts)


def _is_unsuitable(path: str) -> bool:
    """Return whether a Python is a host's, or Microsoft's store's, which hides what it writes from other programs."""
    return _is_bundled(Path(path)) or "WindowsApps" in path.replace("\\", "/").split("/")


def _ask(words: Sequence[str], attempt: Attempt, environment: Mapping[str, str]) -> tuple[Path | None, str]:
    """Return the program that a Python names as itself, and "", or None and why it can't be used."""
    complaints: list[str] = []
    try:
        lines = run_program(
            [*words, "-I", "-c", _PROBE],
            attempt,
            {**environment, **_LAUNCHER_SETTINGS},
            timeout_s=_ANSWER_S,
            complaints=complaints,
        )
        facts = json.loads(lines[-1])
        executable, version = str(facts["executable"]), tuple(facts["version"])
        reason = _explain_refusal(version, facts)
    except ProgramError as error:
        return None, next(reversed([*error.lines, *complaints]), f"it ended with status {error.status}")
    except (OSError, ValueError, IndexError, KeyError, TypeError, RecursionError) as error:
        return None, f"{type(error).__name__}: {error}"
    if not reason and _is_unsuitable(executable):
        reason = "it is part of a host or from Microsoft's store"
    return (None, reason) if reason else (Path(executable), "")


def _explain_refusal(version: tuple[int, ...], facts: Mapping[str, object]) -> str:
    number = ".".join(map(str, version))
    if not OLDEST <= version <= NEWEST:
        return f"Python {number} is not one of {_format(OLDEST)} to {_format(NEWEST)}"
    if facts["implementation"] != "cpython" or facts["is_threaded_build"] or facts["bits"] != 64:
        return f"it is not the usual 64-bit build of Python {number}"
    if sys.platform == "win32" and not str(facts["platform"]).startswith("win"):
        return "it is a build for which there are no packages"
    if sys.platform == "darwin" and facts["machine"] != "arm64" and platform.machine() == "arm64":
        return "it is for Intel processors"
    return ""


def _format(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
