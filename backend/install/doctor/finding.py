"""A finding of `gknet doctor`, and its output without the user's name and image paths."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from backend.thin.environment import hide_home

FINE, WARNING, ERROR = "fine", "warning", "error"
_PICTURE = re.compile(
    r"(?:[A-Za-z]:)?[/\\~][^\n'\"]*?\.(?:png|jpe?g|tiff?|webp|exr|avif|hei[cf]|ora|kra|xcf|psd|gif|bmp)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Finding:
    """subject: what was checked.   state: FINE, WARNING or ERROR.   text: the result.   remedy: what to do, or ""."""

    subject: str
    state: str
    text: str
    remedy: str = ""


def format_text(findings: Sequence[Finding]) -> str:
    """Return one line for each finding, followed by a line with its remedy."""
    width = max(len(state) for state in (FINE, WARNING, ERROR))
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:{width}}  {finding.subject}: {_hide_private_parts(finding.text)}")
        if finding.remedy:
            lines.append(f"{'':{width}}  -> {_hide_private_parts(finding.remedy)}")
    return "\n".join(lines)


def format_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON list of objects with `subject`, `state`, `text` and `remedy`."""
    fields = [{name: _hide_private_parts(value) for name, value in asdict(finding).items()} for finding in findings]
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _hide_private_parts(text: str) -> str:
    """Return the text on one line, with ~ for the home folder and without paths of images."""
    return _PICTURE.sub("(an image)", hide_home(" ".join(text.split())))
