"""The fused transfer beside the CPU's: on the GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gknet.transfer.cores import run_on_all_cores
from gknet.transfer.slicing import Slicer

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed.", allow_module_level=True)

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
with pytest.MonkeyPatch.context() as _before_import:
    if DEVICE.type == "cpu":
        _before_import.setenv("TRITON_INTERPRET", "1")
    from gknet.transfer import fused_slicing
    from gknet.transfer.fused_slicing import FusedSlicer

# NaN and infinity, which some layers hold, worry numpy, on which the interpreter runs.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")


Array = npt.NDArray[Any]
SIZE = (2, 9)
"""Five cells of two columns, the last hanging over; two of one row."""
KINDS = [(np.uint8, 4), (np.uint8, 3), (np.uint16, 4), (np.float16, 3), (np.float32, 4)]


def curves(amount: float = 0.03) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(0, amount, (8, 8, 4, 8, 3)))


def noise(dtype: Any, channels: int) -> Array:
    """Random pixels; floats go beyond 0..1 and include NaN and infinity. Some are clear."""
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "u":
        layer = random.integers(0, np.iinfo(dtype).max + 1, (*SIZE, channels)).astype(dtype)
    else:
        layer = random.uniform(-0.5, 4, (*SIZE, channels)).astype(dtype)
        layer[0, :4, 0] = np.nan, np.inf, -np.inf, -0.0
        layer[0, 4, 1] = np.finfo(dtype).max
    if channels == 4:
        layer[1:, ::3, 3] = 0
    return layer


def outcome(slicer: Slicer | FusedSlicer) -> Array:
    run_on_all_cores(slicer.split_rows(), slicer.make_worker, slicer.layer.shape[0] * slicer.layer.shape[1], None)
    return slicer.result


def bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_the_result_is_the_cpus(dtype: Any, channels: int, linear: bool) -> None:
    layer = noise(dtype, channels)
    mask = np.random.default_rng(2).integers(0, 256, SIZE).astype(np.uint8) if linear else None
    fused = outcome(FusedSlicer(curves(), layer, mask, 0.7, linear, DEVICE))
    plain = outcome(Slicer(curves(), layer, mask, 0.7, linear, 32768))
    assert bits(plain) != bits(layer)
    if np.dtype(dtype).kind == "u":
        assert np.abs(fused.astype(int) - plain.astype(int)).max() <= 1
        return
    number = np.isfinite(plain)
    assert bits(fused[~number]) == bits(plain[~number])
    # Colors above 1 are mapped as parts of the pixel's brightest, and so are their errors.
    peak = np.where(number, abs(layer.astype(np.float64)), 1).max(-1, keepdims=True).clip(1)
    error = (np.where(number, fused, 0).astype(np.float64) - np.where(number, plain, 0)) / peak
    assert abs(error).max() <= max(2 * np.finfo(dtype).eps, 4e-6)


@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_what_does_not_change_stays_to_the_bit(dtype: Any, channels: int) -> None:
    layer = noise(dtype, channels)
    for linear in (False, True):
        same = outcome(FusedSlicer(curves(0), layer, None, 1.0, linear, DEVICE))
        assert bits(same) == bits(layer)
    mask = np.random.default_rng(3).choice(np.array([0, np.nan, 0.5, 7], np.float32), SIZE)
    result = outcome(FusedSlicer(curves(), layer, mask, 1.0, False, DEVICE))
    kept = ~(mask > 0)
    if channels == 4:
        kept |= layer[..., 3] == 0
        assert bits(result[..., 3]) == bits(layer[..., 3])
    assert bits(result[kept]) == bits(layer[kept])
    assert bits(result[~kept]) != bits(layer[~kept])


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = noise(np.uint8, 4)
    layer.flags.writeable = False
    whole = outcome(FusedSlicer(curves(), layer, None, 1.0, False, DEVICE))
    monkeypatch.setattr(fused_slicing, "_STRIP", SIZE[1])
    slicer = FusedSlicer(curves(), layer, None, 1.0, False, DEVICE)
    assert slicer.split_rows() == [(0, 1), (1, 2)]
    assert bits(outcome(slicer)) == bits(whole)
