"""The worker when memory is short; everything else it does is seen through a real backend."""

from __future__ import annotations

import sys
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import numpy as np
import psutil
import pytest

from backend.server.requests import Harmonize, Pixels
from backend.server.worker import Failure, Job, Report, Result, Worker
from gknet import Harmonizer
from gknet.color.icc import REC_709, build_profile
from gknet.transfer.trims import NO_TRIMS

pytestmark = pytest.mark.integration


def pixels(array: np.ndarray) -> Pixels:
    height, width, channels = array.shape
    data = memoryview(array.tobytes())
    return Pixels(width=width, height=height, channels=channels, depth="u8", space="srgb", profile=None, data=data)


@pytest.fixture
def job(layer: np.ndarray, reference: np.ndarray) -> Job:
    request = Harmonize(
        id=1,
        layer=pixels(layer),
        at=(150, 200),
        opacity=1.0,
        reference=pixels(reference),
        canvas=(512, 512),
        selection=None,
        strength=1.0,
        variant=1,
        trims=NO_TRIMS,
        model=None,
        network_size=64,
        fit=None,
    )
    return Job(b"peer", request)


def last_report(worker: Worker, reports: SimpleQueue[Report], job: Job) -> Report:
    worker.submit(job)
    worker.stop()
    worker.run()
    while True:
        report = reports.get(timeout=1)
        if isinstance(report, Result | Failure):
            return report


class Accelerator(Worker):
    """A worker with a device that is always out of memory, beside the CPU."""

    fault = RuntimeError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    def _load_model(self, name: str, device: str) -> Any:
        if device == "cpu":
            return Harmonizer.from_pretrained(name, "cpu")
        return self

    def fit_layer(self, *_: object, **__: object) -> None:
        raise self.fault


def test_a_full_accelerator_hands_over_to_the_cpu(job: Job) -> None:
    reports: SimpleQueue[Report] = SimpleQueue()
    report = last_report(Accelerator("cuda", reports.put), reports, job)
    assert isinstance(report, Result)
    assert report.pixels.shape == (160, 120, 4)
    assert "GPU" in report.warnings[0]


def test_another_fault_of_an_accelerator_is_internal(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accelerator, "fault", RuntimeError("CUDA error: device-side assert triggered"))
    reports: SimpleQueue[Report] = SimpleQueue()
    report = last_report(Accelerator("cuda", reports.put), reports, job)
    assert isinstance(report, Failure)
    assert report.error.code == "internal"
    assert "CUDA" not in report.error.message


def test_a_full_memory_is_said_before_the_system_ends_us(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    full = psutil.virtual_memory()._replace(available=2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: full)
    reports: SimpleQueue[Report] = SimpleQueue()
    report = last_report(Worker("cpu", reports.put), reports, job)
    assert isinstance(report, Failure)
    assert report.error.code == "out_of_memory"


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_an_allocation_that_fails_is_out_of_memory(job: Job, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accelerator, "fault", fault)
    reports: SimpleQueue[Report] = SimpleQueue()
    report = last_report(Accelerator("cuda", reports.put), reports, job)
    assert isinstance(report, Failure)
    assert report.error.code == "out_of_memory"


def test_a_profile_of_pq_is_refused(job: Job) -> None:
    assert isinstance(job.request, Harmonize)
    layer = replace(job.request.layer, profile=build_profile("Rec. 2100 PQ", REC_709, (1.0,)))
    reports: SimpleQueue[Report] = SimpleQueue()
    report = last_report(Worker("cpu", reports.put), reports, replace(job, request=replace(job.request, layer=layer)))
    assert isinstance(report, Failure)
    assert report.error.code == "unsupported"
    assert "HDR (PQ or HLG)" in report.error.message


def test_edges_cannot_be_cleaned_without_pymatting(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymatting", None)
    reports: SimpleQueue[Report] = SimpleQueue()
    asked = Job(b"peer", replace(job.request, clean_edges=True))
    report = last_report(Worker("cpu", reports.put), reports, asked)
    assert isinstance(report, Failure)
    assert report.error.code == "unsupported"
    assert "gknet-harmonize[edges]" in report.error.hint
