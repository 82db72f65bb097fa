"""pyvips is left as it was found: other parts of a program may use it, too."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import pyvips

from gknet import Harmonizer, PictureError
from gknet.files import formats
from gknet.vips import vips_session


def settings() -> tuple[object, ...]:
    return pyvips.cache_get_max(), pyvips._to_string, pyvips.error._to_string


def test_reading_and_harmonizing_leave_the_settings_alone(
    tmp_path: Path, shipped: Harmonizer, photograph: np.ndarray, object_mask: np.ndarray
) -> None:
    pyvips.cache_set_max(100)
    before, cached = settings(), pyvips.cache_get_size()
    formats.write_picture(tmp_path / "a.png", photograph, formats.Picture(pixels=photograph))
    shipped(formats.read_picture(tmp_path / "a.png").pixels, object_mask)
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with pytest.raises(PictureError):
        formats.read_picture(tmp_path / "bad.png")
    assert settings() == before
    assert pyvips.cache_get_size() <= cached  # no picture of ours is kept


def test_sessions_of_several_threads_end_with_the_last_one() -> None:
    before, inside, leave = settings(), threading.Event(), threading.Event()

    def work() -> None:
        with vips_session():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    with vips_session():
        thread.start()
        assert inside.wait(10)
    assert pyvips.cache_get_max() == 0
    leave.set()
    thread.join()
    assert settings() == before
