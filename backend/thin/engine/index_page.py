"""A project's page on a package index: PEP 691's JSON, or PEP 503's HTML."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
_RELEASE = re.compile(r"\d+(\.\d+)*")


@dataclass(frozen=True)
class IndexFile:
    """A wheel on an index.   address: where it is.   sha256: 64 hexadecimal digits.   size: bytes, None if unknown."""

    name: str
    address: str
    sha256: str
    size: int | None

    @property
    def version(self) -> tuple[int, ...]:
        """The version's numbers."""
        return tuple(map(int, self.name.split("-")[1].split(".")))


def parse_page(content: bytes, address: str) -> list[IndexFile]:
    """Return the wheels of final releases on a page that have a SHA-256 and were not withdrawn.

    address: of the page, for relative links. Raise ValueError if the page can't be read.
    """
    text = content.decode("utf-8")
    files = _parse_json(text) if text.lstrip().startswith("{") else _parse_html(text)
    return [
        IndexFile(name, urllib.parse.urljoin(address, link), sha256.lower(), size)
        for name, link, sha256, size in files
        if re.fullmatch("[0-9a-fA-F]{64}", sha256) and name.endswith(".whl") and _is_release(name)
    ]


def _is_release(name: str) -> bool:
    parts = name.split("-")
    return len(parts) >= 5 and _RELEASE.fullmatch(parts[1]) is not None


def _parse_json(text: str) -> Iterator[tuple[str, str, str, int | None]]:
    try:
        for file in json.loads(text)["files"]:
            if not file.get("yanked"):
                yield str(file["filename"]), str(file["url"]), str(file["hashes"].get("sha256", "")), file.get("size")
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parse_html(text: str) -> Iterator[tuple[str, str, str, int | None]]:
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            facts = dict(attrs)
            if tag == "a" and facts.get("href") and "data-yanked" not in facts:
                links.append(str(facts["href"]))

    Links().feed(text)
    for link in links:
        address, _, fragment = link.partition("#")
        name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rpartition("/")[2])
        kind, _, digest = fragment.partition("=")
        yield name, address, digest if kind == "sha256" else "", None
