"""Smooth gradients through the whole way of the command: no banding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gknet.cli.app import main
from gknet.files import formats, picture
from tests.gknet import icc

pytestmark = pytest.mark.integration

PROFILES = {"no profile": None, "Adobe RGB": icc.rgb(icc.ADOBE_RGB, icc.gamma(2.2))}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_16_bit_gradient_keeps_its_levels(tmp_path: Path, photograph: np.ndarray, suffix: str, profile: str) -> None:
    """A foreground that rises by some levels from pixel to pixel: the rows keep at least 95 of 100 levels apart."""
    before = np.tile(photograph.astype(np.uint16) * np.uint16(257), (1, 4, 1))  # (512, 2048, 3)
    inside = (slice(100, 400), slice(100, 1900))
    ramp = np.linspace(9_000, 52_000, 1800)[:, None] * np.array([1.0, 0.93, 0.88])
    before[inside] = np.rint(ramp)
    mask = np.zeros(before.shape[:2], np.uint8)
    mask[inside] = 255
    like = picture.Picture(pixels=before, profile=PROFILES[profile])
    formats.write_picture(tmp_path / f"before{suffix}", before, like)
    formats.write_picture(tmp_path / "mask.png", mask[:, :, None], picture.Picture(pixels=mask[:, :, None]))
    with pytest.raises(SystemExit, match="0"):
        main(
            [
                *map(
                    str,
                    (
                        "harmonize",
                        tmp_path / f"before{suffix}",
                        tmp_path / "mask.png",
                        "-o",
                        tmp_path / f"after{suffix}",
                    ),
                )
            ]
        )
    after = formats.read_picture(tmp_path / f"after{suffix}")
    assert after.profile == PROFILES[profile]
    assert after.pixels.dtype == np.uint16
    changed = after.pixels[inside].astype(int)
    assert np.abs(changed - before[inside]).mean() > 500, "the network changed nothing worth looking at"
    kept = [
        len(np.unique(changed[row, :, channel])) / len(np.unique(before[inside][row, :, channel]))
        for row in range(0, 300, 10)
        for channel in range(3)
    ]
    print(f"\n{suffix}, {profile}: {100 * min(kept):.1f} to {100 * max(kept):.1f} % of the levels")
    assert min(kept) >= 0.95
    steps = np.diff(changed, axis=1)
    assert steps.min() >= -1, "a rising gradient goes on rising"
