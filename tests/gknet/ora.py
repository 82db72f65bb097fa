"""OpenRaster files for tests."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

Rooms = dict[str, bytes]


def png(pixels: np.ndarray, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", **options)
    return content.getvalue()


def stack(size: tuple[int, int], inner: str) -> bytes:
    """A stack.xml with a canvas of (width, height)."""
    image = f'<image version="0.0.3" w="{size[0]}" h="{size[1]}"><stack>{inner}</stack></image>'
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{image}".encode()


def write(path: Path, stack_xml: bytes, members: Rooms, mimetype: bytes = b"image/openraster") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", mimetype)
        file.writestr("stack.xml", stack_xml, zipfile.ZIP_DEFLATED)
        for name, content in members.items():
            file.writestr(name, content)
    return path


def contents(path: Path) -> Rooms:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}
