"""The user's settings for package indexes: those of pip, for downloads without pip."""

from __future__ import annotations

import base64
import configparser
import locale
import os
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .failures import make_error

if TYPE_CHECKING:  # some hosts' Python lacks it
    import ssl

_DEFAULT_INDEX = "https://pypi.org/simple"
_ROOT = Path("/")
_TRUE = ("1", "true", "yes", "on", "y", "t")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_CORRECT = "Correct or remove that setting, then try again."
_ENCODING = "In a user name or password, write %25 for %, %2F for /, %3F for ?, %23 for #, %3A for : and %40 for @."
_ADDRESS_HINT = f"Correct it, then try again. {_ENCODING}"
# Python's own place for certificates is often missing in hosts that are bundled with a Python.
_CERTIFICATES = (
    *("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem"),
    "etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class IndexSettings:
    """Where packages come from, and how they are reached.

    index: address of the package index, without a / at the end.
    certificates: path of a PEM file or of a folder with such files, or "".
    proxy: address of the proxy for all connections; "" for the system's settings.
    more_indexes: addresses of the user's additional indexes.
    """

    index: str
    certificates: str
    proxy: str
    more_indexes: tuple[str, ...] = ()

    def build_variables(self) -> dict[str, str]:
        """Return the environment variables that pass these settings to programs other than pip."""
        certificates = "SSL_CERT_DIR" if Path(self.certificates).is_dir() else "SSL_CERT_FILE"
        variables = {"HTTP_PROXY": self.proxy, "HTTPS_PROXY": self.proxy, certificates: self.certificates}
        return {name: value for name, value in variables.items() if value}

    def build_context(self) -> ssl.SSLContext:
        """Return the settings for TLS. Raise ThinError if Python lacks TLS, or OSError for unreadable certificates."""
        try:
            import ssl
        except ImportError as error:
            raise make_error(
                "This program's Python can't make encrypted connections: it lacks the module ssl.",
                "Install Python 3.11 to 3.14 from python.org or with your system's package manager, then try again.",
            ) from error
        context = ssl.create_default_context()  # respects SSL_CERT_FILE and the certificates of Windows
        usual = ssl.get_default_verify_paths()
        if self.certificates:
            is_folder = Path(self.certificates).is_dir()
            context.load_verify_locations(**{"capath" if is_folder else "cafile": self.certificates})
        elif sys.platform != "win32" and usual.cafile is None and usual.capath is None:
            found = next((_ROOT / name for name in _CERTIFICATES if (_ROOT / name).is_file()), None)
            if found is not None:
                context.load_verify_locations(found)
        return context

    def build_authorization(self, address: str) -> str:
        """Return the header with the user's name and password for an address, "" if it needs none.

        They stand in the address itself, or in that of the index if the address is on the same server.
        """
        parts = urllib.parse.urlsplit(address)
        if not parts.username and is_same_server(address, self.index):
            parts = urllib.parse.urlsplit(self.index)
        if not parts.username:
            return ""
        name, password = (urllib.parse.unquote(text or "") for text in (parts.username, parts.password))
        return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def is_same_server(one: str, other: str) -> bool:
    """Return whether two addresses have the same protocol, host and port."""
    first, second = (
        (parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme))
        for parts in map(urllib.parse.urlsplit, (one, other))
    )
    return first == second


def read_index_settings(environment: Mapping[str, str]) -> IndexSettings:
    """Return pip's settings from its environment variables (first) and its files.

    Raise ThinError (`backend_unavailable`) for settings that make every installation fail.
    """
    found = _read_settings(environment)

    def get(name: str) -> tuple[str, str]:
        return found.get(name, ("", ""))

    for name in ("no-index", "require-hashes"):
        value, origin = get(name)
        if value.lower() in _TRUE and not (name == "no-index" and get("find-links")[0]):
            what = "forbids the package index" if name == "no-index" else "requires hashes, but the packages have none"
            raise make_error(f"{origin} {what}.", "Remove that setting, then try again.")
    certificates, origin = get("cert")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if not certificates and environment.get(name):
            certificates, origin = environment[name], name
    certificates = os.path.expanduser(certificates)  # noqa: PTH111  unlike Path's, it keeps the ~ of unknown users
    if certificates:
        _check_certificates(Path(certificates), origin)
    index, origin = found.get("index-url", (_DEFAULT_INDEX, ""))
    check_address(index, origin)
    more, origin = get("extra-index-url")
    for address in more.split():
        check_address(address, origin)
    links, origin = get("find-links")
    for link in links.split():
        if "://" in link:  # otherwise it is a folder or a file
            check_address(link, origin)
    proxies = {name: environment.get(name, "") for name in _PROXIES}
    for address, origin in (get("proxy"), *((address, name) for name, address in proxies.items())):
        check_address(address if "://" in address else f"http://{address}", origin, is_proxy=True)
    return IndexSettings(
        index.rstrip("/"),
        certificates,
        get("proxy")[0],
        tuple(more.split()),
    )


def _check_certificates(path: Path, origin: str) -> None:
    """Raise ThinError if a file or a folder with certificates can't be read.   origin: the setting that has it."""
    try:
        with os.scandir(path) if path.is_dir() else path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise make_error(f"The file with certificates in {origin}, {path}, does not exist.", _CORRECT) from error
    except OSError as error:
        message = f"The file with certificates in {origin}, {path}, can't be read: {error.strerror or error}."
        raise make_error(
            message, "Make it readable for your account, or correct that setting. Then try again."
        ) from error


def check_address(address: str, origin: str, *, is_proxy: bool = False) -> None:
    """Raise ThinError if an address is invalid.   origin: the setting that has it, for the user."""
    # The reason isn't told: it may quote a part of the password.
    is_cut = False
    try:
        parts = urllib.parse.urlsplit(address)
        is_good = parts.port != -1 and not any(character.isspace() for character in address)  # may raise, too
        if is_proxy:
            is_good = is_good and "@" not in parts.path + parts.query + parts.fragment
        else:
            is_good = is_good and parts.scheme in ("http", "https", "file") and not parts.fragment
            is_good = is_good and bool(parts.hostname or parts.scheme == "file")
            # A name or a password may end too early, and its start would be the host: https://us/er:password@host,
            # https://user:p@ss/word@host. Without a colon, there is no password: https://host/feed@view
            before = address.partition("://")[2].rpartition("@")[0]
            is_cut = is_good and parts.scheme != "file" and "@" in parts.path + parts.query and ":" in before
    except ValueError:
        is_good = False
    if not is_good:
        raise make_error(f"The address in {origin} is invalid.", _ADDRESS_HINT)
    if is_cut:
        raise make_error(
            f"The address in {origin} has a “/” or “?” before its “@”, which a name or password can't contain.",
            f"{_ENCODING} If the “@” belongs to the path, write %40 for it. Then try again.",
        )


def _read_settings(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the value of each of pip's options, and where it stands. pip ignores empty values."""
    found: dict[str, tuple[str, str]] = {}
    files = [(file, _parse_file(file)) for file in _list_files(environment)]
    for section in ("global", "install"):
        for file, parser in files:
            if parser.has_section(section):
                for name, value in parser.items(section):
                    option = name.replace("_", "-")
                    if value:
                        found[option] = (value, f"{option} in {file}")
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            found[name[len("PIP_") :].lower().replace("_", "-")] = (value, name)
    return found


def _parse_file(file: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        text = file.read_text(encoding=locale.getpreferredencoding(False), errors="replace")
    except OSError:  # pip ignores these files, too
        return parser
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Some of these errors name a line, others all of them, and their texts quote what stands there.
        line = getattr(error, "lineno", None) or next((one for one, _ in getattr(error, "errors", ())), None)
        where = f" from line {line} on" if line else ""
        raise make_error(f"pip's settings in {file} can't be read{where}.", _CORRECT) from error
    return parser


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
