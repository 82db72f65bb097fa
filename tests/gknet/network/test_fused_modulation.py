"""The fused modulation beside its reference form: on the GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.network.modulation import modulate_reference

pytestmark = pytest.mark.integration

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed.", allow_module_level=True)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
with pytest.MonkeyPatch.context() as _before_import:
    if DEVICE == "cpu":
        _before_import.setenv("TRITON_INTERPRET", "1")
    from gknet.network.fused_modulation import predict_and_modulate


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's interpreter multiplies the bits of bfloat16 matrices as integers; here it gets float32 ones."""
    if DEVICE == "cuda":
        return
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    dot = InterpreterBuilder.create_dot

    def plain(handle: Any) -> Any:
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype("uint32") << 16).view("float32"), tl.float32)

    monkeypatch.setattr(
        InterpreterBuilder, "create_dot", lambda self, a, b, *rest: dot(self, plain(a), plain(b), *rest)
    )


def reference(feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor, *, residual: bool) -> Tensor:
    modulated = modulate_reference(feature, F.conv2d(predictor, weight, bias))
    return feature + modulated if residual else modulated


def inputs(shape: tuple[int, int, int, int], size: int) -> list[Tensor]:
    """Feature, predictor, weight, bias and the result's gradient, float64."""
    generator = torch.Generator().manual_seed(sum(shape))
    channels = shape[1]
    shapes = (shape, shape, (channels * size**2, channels, 1, 1), (channels * size**2,), shape)
    parts = [torch.randn(each, generator=generator, dtype=torch.float64) for each in shapes]
    parts[2] *= channels**-0.5
    return parts


def results(form: Any, parts: list[Tensor], residual: bool) -> list[Tensor]:
    """The result and the gradients of feature, predictor, weight and bias."""
    leaves = [part.detach().requires_grad_() for part in parts[:4]]
    modulated = form(*leaves, residual=residual)
    modulated.backward(parts[4].to(modulated.dtype))
    return [modulated.detach(), *(leaf.grad for leaf in leaves)]


PLANES, LAST = torch.contiguous_format, torch.channels_last
# Odd sizes and batches of two; channels that fill their blocks, that don't, and that need several.
CASES = [
    ((2, 16, 5, 7), 3, PLANES),
    ((2, 16, 9, 11), 3, LAST),
    ((2, 24, 3, 5), 3, LAST),
    ((1, 72, 3, 3), 3, PLANES),
    ((1, 16, 9, 11), 1, PLANES),
    ((1, 16, 1, 6), 5, LAST),
]


@pytest.mark.parametrize(("shape", "size", "layout"), CASES)
def test_result_and_gradients_are_the_references(
    shape: tuple[int, int, int, int], size: int, layout: torch.memory_format
) -> None:
    parts = [part.float().to(DEVICE) for part in inputs(shape, size)]
    parts[:2] = [part.contiguous(memory_format=layout) for part in parts[:2]]
    residual = layout == LAST
    wanted = results(reference, [part.double().cpu() for part in parts], residual)
    for one, other in zip(results(predict_and_modulate, parts, residual), wanted, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one.cpu().double(), other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("weight_dtype", ["own", torch.float32])
def test_half_precision_errs_by_its_own_rounding(dtype: torch.dtype, weight_dtype: Any) -> None:
    """Against float64 on the same rounded numbers, as a part of the largest: one rounding of the result, two of the
    gradients, as K's gradient is rounded before it is multiplied."""
    parts = [part.to(dtype).to(DEVICE) for part in inputs((2, 24, 3, 5), 3)]
    if weight_dtype != "own":  # as autocast has it; what is lost is the weight's own rounding, beforehand
        parts[2:4] = [part.to(weight_dtype) for part in parts[2:4]]
    exact = results(reference, [part.double().cpu() for part in parts], True)
    fused = results(predict_and_modulate, parts, True)
    assert [part.dtype for part in fused[:3]] == [dtype] * 3
    assert [part.dtype for part in fused[3:]] == [part.dtype for part in parts[2:4]]
    for one, other in zip(fused, exact, strict=True):
        assert (one.cpu().double() - other).abs().max() <= 2 * torch.finfo(dtype).eps * other.abs().max()


def test_result_keeps_the_features_memory_format() -> None:
    feature, predictor, weight, bias, _ = (part.float().to(DEVICE) for part in inputs((2, 16, 3, 4), 1))
    planes = predict_and_modulate(feature, predictor, weight, bias)
    last = predict_and_modulate(feature.to(memory_format=LAST), predictor.to(memory_format=LAST), weight, bias)
    mixed = predict_and_modulate(feature, predictor.to(memory_format=LAST), weight, bias)
    assert planes.is_contiguous()
    assert mixed.is_contiguous()
    assert last.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(last, planes, rtol=0, atol=1e-5)
    torch.testing.assert_close(mixed, planes, rtol=0, atol=1e-5)


def test_shapes_that_do_not_fit_are_refused() -> None:
    feature, predictor, weight, bias, _ = (part.float() for part in inputs((1, 16, 3, 4), 1))
    for wrong in (
        (feature, predictor[:, :8], weight, bias),
        (feature, predictor, weight[:, :8], bias),
        (feature, predictor, weight, bias[:8]),
        (feature, predictor, weight.repeat(4, 1, 1, 1), bias.repeat(4)),
    ):
        with pytest.raises(ValueError, match="do not match"):
            predict_and_modulate(*wrong)
