"""Which kinds of layers work in which version of a host: recorded by the tests, checked by them, shown in the docs.

    python -m tests.hosts.matrix        writes docs/layers.md from tests/hosts/layers.json

The host tests compare what they find with layers.json, and write it anew where GKNET_RECORD=1 is set.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).parent / "layers.json"
PAGE = ROOT / "docs" / "layers.md"

KINDS = (
    "paint layer",
    "text layer",
    "vector layer",
    "link or file layer",
    "clone layer",
    "group",
    "pass-through group",
    "fill layer",
    "with a filter",
    "with a layer mask",
    "with a layer style",
    "content locked",
    "alpha locked",
    "partly off the canvas",
    "animated",
)
ROLES = ("object", "background")
WORKS = "works"
NO_SUCH_LAYER = "no such layer"
"""For a kind that the version does not have. Other outcomes are the sentences of refusals."""

Outcomes = dict[str, dict[str, str]]
"""Kind of layer → role → outcome."""

_HEAD = """\
# Which layers work

These tables show which kinds of layers the plug-ins support, as the object and as the background. A dash means that the
program doesn't have this kind.

The plug-ins refuse some layers with a message, and leave the picture as it was: a pass-through group if its layers
blend with the picture below it (for example in Multiply mode), and in Krita, filter layers and layers in a locked
group.

Tests in GIMP and Krita record the tables:

    GKNET_HOSTS=required GKNET_RECORD=1 python -m pytest -m hosts -k kinds
"""


def check_outcomes(host: str, version: str, found: Outcomes) -> None:
    """Compare what was found in a host with the record; where GKNET_RECORD=1 is set, write it there instead.

    host: "GIMP" or "Krita".   version: such as "3.2.6"; major and minor count. A version that the record does not have
    is compared with the newest one in it.
    """
    record = _read()
    name = ".".join(version.split(".")[:2])
    if os.environ.get("GKNET_RECORD") == "1":
        record.setdefault(host, {})[name] = found
        RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        PAGE.write_text(page(record), encoding="utf-8")
    known = record[host].get(name) or record[host][max(record[host], key=_numbers)]
    assert found == known, f"{host} {version} differs from {RECORD.name}; if that is right, set GKNET_RECORD=1"


def page(record: dict[str, dict[str, Outcomes]]) -> str:
    """The text of docs/layers.md."""
    parts = [_HEAD]
    for host, versions in record.items():
        names = sorted(versions, key=_numbers)
        parts.append(f"## {host} {', '.join(names[:-1])}{' and ' if names[:-1] else ''}{names[-1]}\n")
        rows = [
            f"| {kind} | " + " | ".join(_cell(versions, names, kind, role) for role in ROLES) + " |" for kind in KINDS
        ]
        parts.append("\n".join(["| Layer | As the object | As the background |", "| --- | --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def _cell(versions: dict[str, Outcomes], names: list[str], kind: str, role: str) -> str:
    """One outcome for all versions, or one line for each where they differ."""
    outcomes = {name: versions[name][kind][role].replace(NO_SUCH_LAYER, "–") for name in names}
    if len(set(outcomes.values())) == 1:
        return outcomes[names[0]]
    return "<br>".join(f"{name}: {outcome}" for name, outcome in outcomes.items())


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _read() -> dict[str, Any]:
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    return record


if __name__ == "__main__":
    PAGE.write_text(page(_read()), encoding="utf-8")
