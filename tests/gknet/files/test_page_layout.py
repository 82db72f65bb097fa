"""Descriptions of a TIFF's pages do not outlive the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from gknet.files import formats
from gknet.files.metadata.page_layout import is_ome, remove_page_layout, states_more_pages
from gknet.files.picture import ONLY_THE_FIRST

STACK = np.arange(2 * 20 * 30, dtype=np.uint16).reshape(2, 20, 30)
OME_LEFT_OUT = "the OME-XML description of the TIFF's pages is left out"


@pytest.mark.parametrize(
    ("options", "kept", "notes"),
    [
        ({"imagej": True, "metadata": {"unit": "um"}}, b"unit=um", [ONLY_THE_FIRST]),
        ({"imagej": True, "truncate": True}, b"ImageJ=", [ONLY_THE_FIRST]),
        ({"ome": True}, b"", [ONLY_THE_FIRST, OME_LEFT_OUT]),
        ({"metadata": {"axes": "ZYX", "stain": "blue"}}, b"blue", [ONLY_THE_FIRST]),
        ({"truncate": True}, b"", [ONLY_THE_FIRST]),
        ({"bigtiff": True, "ome": True}, b"", [ONLY_THE_FIRST, OME_LEFT_OUT]),
    ],
)
def test_the_first_page_of_a_stack_can_be_opened(
    tmp_path: Path, options: dict[str, Any], kept: bytes, notes: list[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", **options)
    read = formats.read_picture(tmp_path / "a.tif")
    assert read.notes == notes
    formats.write_picture(tmp_path / "b.tif", read.pixels, read)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), STACK[0])
    assert kept in (tmp_path / "b.tif").read_bytes()
    assert b"OME" not in (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}, {"description": "{no JSON}", "metadata": None}])
def test_a_single_page_keeps_its_description(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], photometric="minisblack", **options)
    read = formats.read_picture(tmp_path / "a.tif")
    assert read.notes == []
    formats.write_picture(tmp_path / "b.tif", read.pixels, read)
    with tifffile.TiffFile(tmp_path / "a.tif") as before, tifffile.TiffFile(tmp_path / "b.tif") as after:
        assert len(after.pages[0].description) > 3
        assert set(after.pages[0].description.splitlines()) <= set(before.pages[0].description.splitlines())


@pytest.mark.parametrize("text", [b"A cat\0", b"<p>Hello</p>", b'{"shape": "round"}', b"[1]", b"{", b"", b"images=2"])
def test_other_descriptions_stay_as_they_are(text: bytes) -> None:
    assert remove_page_layout(text, has_pages=True) == text
    assert not states_more_pages(text)
    assert not is_ome(text)


def test_counts_of_one_image_state_no_other() -> None:
    for count, expected in ((1, False), (2, True), (10, True), (11, True)):
        assert states_more_pages(b"ImageJ=1.54f\nimages=%d\nunit=um\n" % count) is expected
        assert states_more_pages(b"ImageJ=1.54f\nimages=%d" % count) is expected
