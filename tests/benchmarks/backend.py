"""What it costs to have a layer harmonized in another process: `python -m tests.benchmarks.backend`.

Carriage is the client's whole time for a 24-megapixel layer minus what the backend's own stages took, beside a plain
TCP transfer of the same bytes there and back, run in turn. Then the backend's memory for it, how soon it answers while
it works on 100 megapixels, and how long the first answer of a backend takes that has to be started, beside Python's
`import torch`. Linux, for the memory. Other programs may be busy: times are the best of all rounds,
the ratio in brackets is the median of the rounds' own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from backend import Client
from backend.thin.connection import find_connection_path
from tests.backend.real_backend import Peer


def echo(port: Any, size: int, rounds: int) -> None:
    """Takes so many bytes, then sends them back, so many times."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port.send(listening.getsockname()[1])
        peer, _ = listening.accept()
        with peer:
            for _ in range(rounds):
                peer.sendall(receive(peer, size))


def receive(peer: socket.socket, size: int) -> bytearray:
    """The next so many bytes."""
    received = bytearray(size)
    view = memoryview(received)
    while view:
        view = view[peer.recv_into(view) :]
    return received


def memory(process: int, field: str) -> float:
    """Megabytes: VmRSS (now) or VmHWM (at its peak)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) * 1024 / 1e6


def carriage(client: Client, layer: np.ndarray, reference: np.ndarray, rounds: int) -> None:
    """Prints the time of carriage beside plain TCP's, and the backend's memory."""
    ours_end, theirs_end = multiprocessing.Pipe()
    plain = multiprocessing.get_context("spawn").Process(target=echo, args=(theirs_end, layer.nbytes, rounds))
    plain.start()
    peer = socket.create_connection(("127.0.0.1", ours_end.recv()))
    process = client.status()["pid"]
    client.harmonize(layer[:256, :256], reference, at=(100, 100))  # which also warms it up
    before = memory(process, "VmRSS")
    carried, floor, whole, work = [], [], [], []
    canvas = (layer.shape[1], layer.shape[0])
    for _ in range(rounds):
        start = time.perf_counter()
        answer = client.harmonize(layer, reference, canvas=canvas)
        whole.append(time.perf_counter() - start)
        work.append(sum(answer.timings.values()) / 1e3)
        carried.append(whole[-1] - work[-1])
        start = time.perf_counter()
        peer.sendall(layer)
        receive(peer, layer.nbytes)
        floor.append(time.perf_counter() - start)
    peer.close()
    plain.join()
    ratio = statistics.median(a / b for a, b in zip(carried, floor, strict=True))
    print(f"{layer.shape[0] * layer.shape[1] / 1e6:.0f} MP RGBA uint8, {layer.nbytes / 1e6:.0f} MB there and back")
    stages = ", ".join(f"{name} {1e-3 * milliseconds:.3f}" for name, milliseconds in answer.timings.items())
    bounded = statistics.median(a / (1.1 * b + 3 * c) for a, b, c in zip(whole, work, floor, strict=True))
    print(f"  whole request     {min(whole):7.3f} s   of (1.1 times the work + 3 times plain TCP) {bounded:.2f}")
    print(f"  the work          {min(work):7.3f} s   last: {stages}")
    print(f"  carriage          {min(carried):7.3f} s")
    print(
        f"  plain TCP         {min(floor):7.3f} s   carriage / plain TCP {min(carried) / min(floor):.2f} ({ratio:.2f})"
    )
    print(f"  backend's memory  {before:7.0f} MB idle, {memory(process, 'VmHWM'):.0f} MB at its peak")


def preview(client: Client, reference: np.ndarray, rounds: int) -> None:
    """Prints how soon a layer of screen size is there at another strength, by the fit that is kept."""
    layer = np.dstack([reference, np.full(reference.shape[:2], 255, np.uint8)])
    layer[:, : layer.shape[1] // 2, 3] = 0
    fit = client.harmonize(layer, reference).fit
    times = []
    for number in range(4 * rounds):
        start = time.perf_counter()
        client.harmonize(layer, None, fit=fit, strength=(number % 10) / 10)
        times.append(time.perf_counter() - start)
    milliseconds = f"{statistics.median(times) * 1e3:.1f} ms, {max(times) * 1e3:.1f} at most"
    print(f"a preview of {layer.shape[1]} x {layer.shape[0]} at another strength {milliseconds}")


def latency(client: Client, reference: np.ndarray, rounds: int) -> None:
    """Prints how soon `status` and `cancel` are answered during a request of 100 megapixels."""
    layer = np.zeros((10_000, 10_000, 4), np.uint8)
    layer[100:, 100:] = 200
    busy = threading.Event()

    def work() -> None:
        with Client.connect() as other:
            other.harmonize(layer, reference, on_progress=lambda *_: busy.set())
        busy.clear()

    status = []
    for _ in range(rounds):
        worker = threading.Thread(target=work)
        worker.start()
        busy.wait()
        while busy.is_set():
            start = time.perf_counter()
            client.status()
            status.append(time.perf_counter() - start)
            time.sleep(0.01)
        worker.join()
    answered, ended = zip(*(time_cancel(layer, reference) for _ in range(rounds)), strict=True)
    print(f"while it works on {layer.shape[0] * layer.shape[1] / 1e6:.0f} MP RGBA uint8")
    for name, times in (("status answered", status), ("cancel answered", answered), ("request ended", ended)):
        print(f"  {name:16} {statistics.median(times) * 1e3:7.1f} ms median, {max(times) * 1e3:.1f} ms at most")


def time_cancel(layer: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Seconds from a cancel, sent while pixels are coloured, to its answer and to the request's own end."""
    peer = Peer(json.loads(find_connection_path().read_text()))
    kind = {"depth": "u8", "space": "srgb"}
    size = {"width": reference.shape[1], "height": reference.shape[0]}
    place = {"width": layer.shape[1], "height": layer.shape[0], "channels": 4, "x": 0, "y": 0}
    canvas = {"canvas_width": size["width"] * 20, "canvas_height": size["height"] * 20, "channels": 3}
    header = {"op": "harmonize", "layer": {**place, **kind}, "reference": {**size, **canvas, **kind}}
    request = peer.send(header, layer, reference)
    while peer.receive()[0].get("stage") != "apply":
        pass
    start = time.perf_counter()
    cancel = peer.send({"op": "cancel", "request": request})
    times = {}
    while len(times) < 2:
        reply = peer.receive()[0]
        if reply["op"] != "progress":
            times[reply["id"]] = time.perf_counter() - start
    peer.close()
    return times[cancel], times[request]


def first_answer(reference: np.ndarray, rounds: int) -> None:
    """Prints how long a backend's first answer takes, from nothing, on a layer of a megapixel."""
    layer = np.dstack([reference, np.full(reference.shape[:2], 255, np.uint8)])
    layer[:, : layer.shape[1] // 2, 3] = 0
    imports, answers = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        imports.append(time.perf_counter() - start)
        start = time.perf_counter()
        with Client.connect() as client:
            client.harmonize(layer, reference)
            answers.append(time.perf_counter() - start)
            client.shutdown()
    imported, answered = statistics.median(imports), statistics.median(answers)
    print(f"from nothing to the first answer {answered:.2f} s; import torch {imported:.2f} s,", end=" ")
    print(f"of (1.3 times that + 1 s) {answered / (1.3 * imported + 1):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of carriage to the backend and back.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    random = np.random.default_rng(0)
    reference = random.integers(0, 255, (683, 1024, 3), dtype=np.uint8)
    layer = random.integers(0, 255, (4000, 6000, 4), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GKNET_CONNECTION"] = str(Path(folder) / "backend.json")
        command = [sys.executable, "-m", "backend.cli", "serve", "--log", str(Path(folder) / "log")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            print(process.stdout.readline().strip())
            try:
                with Client.connect(start=False) as client:
                    carriage(client, layer, reference, rounds)
                    preview(client, reference, rounds)
                    latency(client, reference, rounds)
                    client.shutdown()
            except BaseException:
                process.terminate()  # or its end would be waited for
                raise
        first_answer(reference, rounds)


if __name__ == "__main__":
    main()
