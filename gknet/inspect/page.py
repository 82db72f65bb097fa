"""The page: sections of pictures with text, in one self-contained HTML file, and the pictures as PNG files."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from gknet.errors import PictureError

PAGE = "index.html"
_MARK = "<!-- made by gknet inspect -->"
_OURS = re.compile(
    r"index\.html|(?:result|change-maps|change-curves|variants|sight|(?:attention|fusion|kernels)-\d+)\.png"
)

_STYLE = """
body { font: 17px/1.55 system-ui, sans-serif; color: #1c1c1c; background: #fff; margin: 0 auto; padding: 1.5em;
  max-width: 1210px; }
h1 { font-size: 1.9em; line-height: 1.2; } h2 { font-size: 1.45em; margin: 2.2em 0 .3em; }
p, figcaption { max-width: 48em; } figure { margin: 1.5em 0 2.5em; } figure img { width: 100%; height: auto; }
h3 { font-size: 1.1em; margin: 0 0 .5em; } nav a { margin-right: 1.2em; }
"""


@dataclass(frozen=True, slots=True)
class Plate:
    """One picture of the page. name: of its PNG file, without the suffix.   text: what it shows, and how to read it."""

    name: str
    title: str
    text: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """Related plates under a heading with a short introduction. name: of its link target."""

    name: str
    title: str
    text: str
    plates: Sequence[Plate]


def check_folder(folder: Path) -> None:
    """Raise an error if a page cannot be written to the folder. Call it before the work starts.

    Raises PictureError if it is a file, its parent is missing, or it contains anything but an earlier page.
    """
    try:
        if not folder.parent.is_dir():
            raise PictureError(f"Folder {folder.parent} does not exist.", "Create it first, or write elsewhere.")
        if not folder.exists():
            return
        if not folder.is_dir():
            raise PictureError(f"{folder} is a file, not a folder.", "Name a folder for the page.")
        if folder.samefile(Path.cwd()):
            raise PictureError(f"{folder} is the current folder.", "Choose a folder inside it; it need not exist yet.")
        if any(folder.iterdir()) and not _is_ours(folder):
            raise PictureError(f"{folder} contains other files.", "Choose a new or empty folder.")
    except OSError as error:
        raise _write_error(folder, error) from error


def write(folder: Path, picture: str, model: str, sections: Sequence[Section]) -> None:
    """Write the page and its pictures to a folder of their own, completely or not at all. An earlier page is replaced.

    picture, model: names, for the heading.   Raises PictureError as `check_folder`, or if writing fails.
    """
    check_folder(folder)
    target = Path(os.path.realpath(folder))  # through a link, not in its place
    unfinished = target.with_name(f".gknet-{secrets.token_hex(8)}.tmp")
    earlier = unfinished.with_suffix(".old")
    try:
        unfinished.mkdir()
        for plate in (plate for section in sections for plate in section.plates):
            (unfinished / f"{plate.name}.png").write_bytes(plate.png)
        (unfinished / PAGE).write_text(_render_page(picture, model, sections), encoding="utf-8", errors="replace")
        if target.exists():
            target.rename(earlier)
        unfinished.rename(target)
    except OSError as error:
        raise _write_error(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if earlier.exists():
            if target.exists():
                shutil.rmtree(earlier, ignore_errors=True)
            else:
                earlier.rename(target)


def _render_page(picture: str, model: str, sections: Sequence[Section]) -> str:
    title = f"How {picture} was harmonized"
    lead = (
        f"What the network {model} did with the object pasted into this picture, and why. No knowledge of neural "
        f"networks is needed. Some sections refer to the paper “Learning Global-aware Kernel for Image "
        f"Harmonization” (Shen et al., ICCV 2023)."
    )
    links = "".join(f'<a href="#{section.name}">{escape(section.title)}</a> ' for section in sections)
    body = "".join(map(_render_section, sections))
    return (
        f'<!doctype html>\n{_MARK}\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n"
        f"<nav>{links}</nav>\n{body}</body></html>\n"
    )


def _render_section(section: Section) -> str:
    plates = "".join(map(_render_figure, section.plates))
    return f'<h2 id="{section.name}">{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>\n{plates}'


def _render_figure(plate: Plate) -> str:
    source = f"data:image/png;base64,{base64.b64encode(plate.png).decode('ascii')}"
    title = escape(plate.title)
    return (
        f'<figure id="{plate.name}"><h3>{title}</h3><img alt="{title}" src="{source}">\n'
        f"<figcaption>{escape(plate.text)}</figcaption></figure>\n"
    )


def _is_ours(folder: Path) -> bool:
    """Whether a folder contains an earlier page and nothing else."""
    if not all(path.is_file() and _OURS.fullmatch(path.name) for path in folder.iterdir()):
        return False
    page = folder / PAGE
    return page.exists() and _MARK in page.read_text(encoding="utf-8", errors="replace")[:200]


def _write_error(folder: Path, error: OSError) -> PictureError:
    reason = error.strerror or type(error).__name__
    return PictureError(f"{folder} cannot be written: {reason}.", "Check its name, folder and permissions.")
