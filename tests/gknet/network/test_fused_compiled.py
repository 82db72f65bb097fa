"""The Triton kernels, compiled for real GPUs on a machine without one: the interpreter takes more than a GPU does.

The public functions are called as anybody calls them, in a process of their own where Triton believes in a GPU and
compiles, but launches nothing.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

if importlib.util.find_spec("triton") is None:  # to import it here would settle how the other tests run it
    pytest.skip("Triton is not installed.", allow_module_level=True)

SHARED_MEMORY = 99 * 1024
"""Bytes of it that a program may have on the GPUs with the least, of those with tensor cores for float32."""


def test_every_kernel_compiles_and_fits(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    process = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    shared = json.loads(process.stdout)
    # For both GPUs: four kernels of the modulation for each dtype, the transfer's one for each kind of layer.
    assert len(shared) == 2 * (2 * 4 + 2)
    assert max(shared) <= SHARED_MEMORY


def compile_all() -> list[int]:
    """Bytes of shared memory of every kernel that was compiled."""
    import torch
    import triton
    from triton.backends.compiler import GPUTarget

    from gknet.network import fused_modulation
    from gknet.transfer import fused_slicing

    class Driver:
        def get_current_device(self) -> int:
            return int(target.arch)  # each its own, as Triton keeps what it compiled by device

        def get_current_stream(self, _device: int) -> int:
            return 0

        def get_current_target(self) -> GPUTarget:
            return target

    shared: list[int] = []
    run = triton.JITFunction.run

    def compile_only(*arguments: Any, **named: Any) -> None:
        shared.append(run(*arguments, **{**named, "warmup": True}).metadata.shared)

    triton.runtime.driver.set_active(Driver())
    triton.JITFunction.run = compile_only
    nodes, mask = torch.rand(8, 8, 3, 29), torch.ones(16, 64, dtype=torch.uint8)
    for target in (GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32)):  # noqa: B007  # the driver's
        for dtype in (torch.float32, torch.bfloat16):
            like = functools.partial(torch.rand, dtype=dtype, requires_grad=True)
            feature, predictor = (like(1, 64, 16, 16).to(memory_format=torch.channels_last) for _ in range(2))
            weight, bias = like(576, 64, 1, 1), like(576)
            fused_modulation.predict_and_modulate(feature, predictor, weight, bias).sum().backward()
        for dtype, channels in ((torch.uint8, 4), (torch.float32, 3)):
            rows, linear = torch.zeros(16, 64, channels, dtype=dtype), channels == 3
            fused_slicing.slice_rows(nodes, rows, mask if linear else None, 1.0, linear, 0, 16)
    return shared


if __name__ == "__main__":
    print(json.dumps(compile_all()))
