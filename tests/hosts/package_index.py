"""This machine's settings for packages, for a host in a chroot that installs the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_SETTINGS = ("index-url", "extra-index-url", "find-links", "cert", "proxy", "trusted-host", "timeout")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class PackageIndex:
    """What pip uses here, as `variables` for the host and folders that it must see (`binds`).

    folder: where a copy of the certificates is put.   home: the host's; a Python is put there as pyenv does, because
    that of the chroot can't make environments.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.variables = {name: os.environ[name] for name in _PROXIES if name in os.environ}
        self.binds = [folder, Path(sys.base_prefix)]
        for name, value in _read_settings().items():
            self.variables[f"PIP_{name.upper().replace('-', '_')}"] = value
            if name in ("index-url", "extra-index-url", "find-links"):
                folders = [path for path in map(_find_folder, value.split()) if path is not None]
                # An index's pages link to files beside its folder.
                self.binds += folders if name == "find-links" else [folder.parent for folder in folders]
        certificates = self.variables.pop("PIP_CERT", "") or os.environ.get("SSL_CERT_FILE", "")
        if certificates:
            folder.mkdir(parents=True, exist_ok=True)
            copied = str(shutil.copy(certificates, folder / "certificates.pem"))
            self.variables.update(dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), copied))
        version = home / ".pyenv" / "versions" / f"{sys.version_info[0]}.{sys.version_info[1]}"
        version.parent.mkdir(parents=True, exist_ok=True)
        version.symlink_to(sys.base_prefix)


def _read_settings() -> dict[str, str]:
    """pip's own answer, in which variables of the environment count more than files."""
    words = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        if key in _SETTINGS and (section == ":env:" or key not in found):
            found[key] = value.strip().strip("'\"").replace("\\n", " ")
    return found


def _find_folder(word: str) -> Path | None:
    """The folder of an address or a path on this machine."""
    path = Path(url2pathname(urlsplit(word).path)) if word.startswith("file:") else Path(word)
    return path if path.is_dir() else None
