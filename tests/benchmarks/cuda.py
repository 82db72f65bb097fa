"""What a CUDA GPU makes of the networks, of the modulation alone and of the colour transfer.

    python -m tests.benchmarks.cuda

Networks: one picture of 256 x 256, untrained weights (the arithmetic is the same), in four steps, each on top of the
one before: as on the CPU; channels last; the modulation fused; all launches recorded once and replayed as a CUDA
graph. Lower precisions are autocast's. Their rate stands beside that of a large matrix product of the same type, in
the same run. The modulation: forward and backward at the paper's shallowest level. The transfer: beside a copy of the
same bytes within the GPU, and from the computer's memory and back. Times are medians; memory is what a run adds.
"""

from __future__ import annotations

import functools
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gknet.network import weights
from gknet.network.complexity import SIZE, count_flops
from gknet.network.config import PRESETS, preset
from gknet.network.model import GKNet
from gknet.network.modulation import modulate, modulate_reference
from gknet.transfer.cores import run_on_all_cores
from gknet.transfer.slicing import Slicer

Run = Callable[[], object]
Row = tuple[str, str, float, str, float]
"""What, how, ms, rate, MiB."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DEVICE = "cuda"
ROUNDS = 30
MATRIX = 8192
LAYERS = ((4000, 6000), (8660, 11547))
"""(height, width): 24 and 100 megapixels."""


def name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def median_ms(run: Run, rounds: int = ROUNDS) -> float:
    """Of the GPU's own clock, after a warm-up."""
    for _ in range(3):
        run()
    spans = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        spans.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in spans)


def added_mib(run: Run) -> float:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def matrix_product_ms(dtype: torch.dtype) -> float:
    """Float32 is TF32, as in the networks' convolutions."""
    one, other = (torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=dtype) for _ in range(2))
    return median_ms(lambda: one @ other, 10)


def recorded(run: Run) -> Run:
    """The same launches as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is chosen and allocated once must not be recorded
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def networks() -> Iterator[Row]:
    for dtype in DTYPES:
        took = matrix_product_ms(dtype)
        peak = 2 * MATRIX**3 / took * 1e3
        yield f"matrix product {name(dtype)}", f"{MATRIX} x {MATRIX}", took, f"{peak / 1e12:.1f} TFLOP/s", 0.0
        for model in PRESETS:
            net = weights.build(preset(model)).eval()
            work = count_flops(net)
            net = net.to(DEVICE)
            picture = torch.rand(1, 3, SIZE, SIZE, device=DEVICE)
            mask = torch.rand(1, 1, SIZE, SIZE, device=DEVICE).round()

            # Without its cache, autocast's copies of the weights would not outlive the recording of a graph.
            @torch.inference_mode()
            @torch.autocast(DEVICE, dtype, enabled=dtype != torch.float32, cache_enabled=False)
            def run(net: GKNet = net, picture: Tensor = picture, mask: Tensor = mask) -> Tensor:
                return net(picture, mask)

            row = functools.partial(network_row, f"{model} {name(dtype)}", work, peak)
            with patch("gknet.network.modulation._load_triton_form", lambda: None):
                yield row("as on the CPU", run)
                net.to(memory_format=torch.channels_last)
                last = functools.partial(run, picture=picture.to(memory_format=torch.channels_last))
                yield row("channels last", last)
            yield row("fused", last)
            yield row("CUDA graph", recorded(last))


def network_row(what: str, work: int, peak: float, form: str, run: Run) -> Row:
    took = median_ms(run)
    rate = work / took * 1e3
    return what, form, took, f"{rate / 1e12:.2f} TFLOP/s, {100 * rate / peak:.1f} %", added_mib(run)


def modulations(batch: int = 8, channels: int = 32) -> Iterator[Row]:
    from gknet.network.fused_modulation import predict_and_modulate

    def reference(feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return modulate_reference(feature, F.conv2d(predictor, weight, bias))

    def shifted(feature: Tensor, predictor: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return modulate(feature, F.conv2d(predictor, weight, bias))

    shape = (batch, channels, SIZE, SIZE)
    for dtype in DTYPES:
        parts = [torch.randn(each) for each in (shape, shape, (9 * channels, channels, 1, 1), (9 * channels,))]
        parts = [part.to(DEVICE, dtype).requires_grad_() for part in parts]
        gradient = torch.randn(shape).to(DEVICE, dtype)
        moved = 3 * gradient.nbytes
        for form, function in (("unfold", reference), ("shifted", shifted), ("fused", predict_and_modulate)):
            forward = torch.no_grad()(functools.partial(function, *parts))
            both = functools.partial(forward_and_backward, function, parts, gradient)
            for what, run in (("forward", forward), ("forward and backward", both)):
                took = median_ms(run)
                rate = f"{moved / took / 1e6:.0f} GB/s of F, F_KPB, F_mod" if run is forward else ""
                yield f"modulation {name(dtype)}, {what}", form, took, rate, added_mib(run)


def forward_and_backward(function: Callable[..., Tensor], parts: list[Tensor], gradient: Tensor) -> object:
    return torch.autograd.grad(function(*parts), parts, gradient)


def transfers() -> Iterator[Row]:
    from gknet.transfer.fused_slicing import FusedSlicer, slice_rows

    random = np.random.default_rng(0)
    curves = torch.from_numpy(random.normal(0, 0.02, (8, 8, 4, 8, 3)))
    for height, width in LAYERS:
        what = f"transfer, {height * width / 1e6:.0f} MP RGBA 8 bit"
        layer = np.frombuffer(random.bytes(height * width * 4), np.uint8).reshape(height, width, 4)
        fused = FusedSlicer(curves, layer, None, 1.0, False, torch.device(DEVICE))
        there = torch.from_numpy(layer.copy()).to(DEVICE)
        waiting = torch.from_numpy(layer.copy()).pin_memory()
        target = torch.empty_like(there)

        def there_and_back(target: Tensor = target, waiting: Tensor = waiting) -> None:
            target.copy_(waiting, non_blocking=True)
            waiting.copy_(target, non_blocking=True)

        on_the_gpu: dict[str, Run] = {
            "copy within the GPU": functools.partial(target.copy_, there),
            "kernel": functools.partial(slice_rows, fused.nodes, there, None, 1.0, False, 0, height),
            "page-locked copy there and back": there_and_back,
        }
        for form, run in on_the_gpu.items():
            took = median_ms(run, 10)
            yield what, form, took, f"{2 * layer.nbytes / took / 1e6:.0f} GB/s", added_mib(run)
        slicers = {"all of it, fused": fused, "all of it, CPU": Slicer(curves, layer, None, 1.0, False, 32768)}
        for form, slicer in slicers.items():
            run = functools.partial(run_on_all_cores, slicer.split_rows(), slicer.make_worker, height * width, None)
            took = wall_ms(run)
            yield what, form, took, f"{2 * layer.nbytes / took / 1e6:.0f} GB/s", added_mib(run)


def wall_ms(run: Run, rounds: int = 5) -> float:
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main() -> None:
    if not torch.cuda.is_available() or importlib.util.find_spec("triton") is None:
        sys.exit("This needs a CUDA device and Triton; there is nothing to measure here.")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}\n")
    print(f"{'what':44} {'how':32} {'ms':>9} {'MiB':>8}  rate")
    for part in (networks, modulations, transfers):
        for what, form, took, rate, memory in part():
            print(f"{what:44} {form:32} {took:9.3f} {memory:8.0f}  {rate}", flush=True)


if __name__ == "__main__":
    main()
