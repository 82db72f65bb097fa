"""The user's settings for package indexes: those of pip, for downloads without pip."""

from __future__ import annotations

import configparser
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_DEFAULT_INDEX = "https://pypi.org/simple"
_ROOT = Path("/")
# Python's own place for certificates is often missing in hosts that are bundled with a Python.
_CERTIFICATES = (
    *("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem"),
    "etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class IndexSettings:
    """index: address of the package index, without a / at the end.   certificates: path of a PEM file, or "".

    proxy: address of the proxy for all connections; "" for the system's settings.
    """

    index: str
    certificates: str
    proxy: str

    def build_variables(self) -> dict[str, str]:
        """Return the environment variables that tell these settings to other programs than pip."""
        variables = {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy, "SSL_CERT_FILE": self.certificates}
        return {name: value for name, value in variables.items() if value}

    def build_context(self) -> ssl.SSLContext:
        """Return the settings for TLS. Raise OSError or ssl.SSLError if the certificates can't be read."""
        context = ssl.create_default_context()  # respects SSL_CERT_FILE and the certificates of Windows
        if self.certificates:
            context.load_verify_locations(self.certificates)
        elif sys.platform != "win32" and not _has_certificates():
            usual = next((_ROOT / name for name in _CERTIFICATES if (_ROOT / name).is_file()), None)
            if usual is not None:
                context.load_verify_locations(usual)
        return context


def read_index_settings(environment: Mapping[str, str]) -> IndexSettings:
    """Return pip's settings from its environment variables (first) and its files."""
    found: dict[str, str] = {}
    for file in _list_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file)
        except (OSError, ValueError, configparser.Error):
            continue  # pip itself explains it when it runs
        for section in ("global", "download", "install"):
            if parser.has_section(section):
                found.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    for name in ("index-url", "cert", "proxy"):
        if value := environment.get("PIP_" + name.upper().replace("-", "_")):
            found[name] = value
    certificates = found.get("cert", "") or environment.get("REQUESTS_CA_BUNDLE", "")
    return IndexSettings(found.get("index-url", _DEFAULT_INDEX).rstrip("/"), certificates, found.get("proxy", ""))


def _list_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the paths of pip's settings files, the strongest last."""
    home = Path(environment.get("HOME") or Path.home())
    if environment.get("PIP_CONFIG_FILE") == os.devnull:
        return
    if sys.platform == "win32":
        yield Path(environment.get("PROGRAMDATA", "C:\\ProgramData")) / "pip" / "pip.ini"
        yield Path.home() / "pip" / "pip.ini"
        if environment.get("APPDATA"):
            yield Path(environment["APPDATA"]) / "pip" / "pip.ini"
    else:
        if sys.platform == "darwin":
            yield _ROOT / "Library" / "Application Support" / "pip" / "pip.conf"
        for folder in reversed(environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)):
            yield Path(folder or "/etc/xdg") / "pip" / "pip.conf"
        yield _ROOT / "etc" / "pip.conf"
        yield home / ".pip" / "pip.conf"
        if sys.platform == "darwin" and (home / "Library" / "Application Support" / "pip").is_dir():
            yield home / "Library" / "Application Support" / "pip" / "pip.conf"
        else:
            yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    if named := environment.get("PIP_CONFIG_FILE"):
        yield Path(named)


def _has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or paths.capath is not None
