"""A run's state in pieces small enough to carry from machine to machine.

`python -m training.engine.state_pieces split RUN FOLDER` cuts RUN's state into FOLDER's `state-*.safetensors`, weights
and their moving average in float16, Adam's moments in bfloat16, which halves them: a run that goes on from pieces is
not bit for bit the one that was interrupted. `... join FOLDER RUN` puts them together again, as a run that the training
goes on from and its weights. Where pieces of the moments were left behind, Adam starts anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gknet.network import weights
from gknet.network.config import GKNetConfig
from gknet.network.model import GKNet

LARGEST = 15 * 2**20
"""Bytes of tensors in a piece; with its header a piece stays under 16 MiB."""
MOMENTS = ("exp_avg", "exp_avg_sq")


def split(run: Path, folder: Path) -> list[Path]:
    """Writes the pieces and returns their names, weights first, then moments.

    Raises ValueError if the run's folder holds no state.
    """
    try:
        state: dict[str, Any] = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # torch documents none; whatever it is, the file is no state
        raise ValueError(f"{run / 'state.pt'} is no saved run: {error}") from error
    kept = {name: state[name] for name in ("run", "network", "device", "step", "samples")}
    kept["param_groups"] = state["optimizer"]["param_groups"]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, piece in enumerate(_pieces(_tensors(state))):
        path = folder / f"state-{number:03}.safetensors"
        save_file(piece, path, {"state": json.dumps(kept)})
        written.append(path)
    return written


def join(folder: Path, run: Path) -> None:
    """Writes the run's `state.pt` and `weights.safetensors` from pieces.

    Raises ValueError if there are none, if they do not belong together, and if one that holds weights is missing.
    """
    tensors, kept = _read(folder)
    net = GKNet(GKNetConfig.from_dict(kept["network"]))
    state: dict[str, Any] = {name: kept[name] for name in ("run", "device", "step", "samples")}
    state["network"] = net.config.to_dict()
    state["net"] = _part(tensors, "net", list(net.state_dict()))
    names = ["n_averaged", *(f"module.{name}" for name in net.state_dict())]
    state["average"] = _part(tensors, "average", names)
    # The draws start anew: those of another machine, or of another moment, are not carried.
    state["generators"] = []
    numbers = [number for group in kept["param_groups"] for number in group["params"]]
    moments = {number: _moments(tensors, number, kept["step"]) for number in numbers}
    whole = all(moments.values())
    state["optimizer"] = {"state": moments if whole else {}, "param_groups": kept["param_groups"]}
    run.mkdir(parents=True, exist_ok=True)
    torch.save(state, run / "state.pt")
    shipped = "average" if kept["run"]["ema"] else "net"
    prefix = "module." if shipped == "average" else ""
    net.load_state_dict({name: state[shipped][prefix + name] for name in net.state_dict()})
    weights.save(net, run / "weights.safetensors")


def _tensors(state: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for part in ("average", "net"):
        for name, tensor in state[part].items():
            yield f"{part}.{name}", tensor.half() if tensor.is_floating_point() else tensor
    for number, moments in state["optimizer"]["state"].items():
        for name in MOMENTS:
            yield f"{name}.{number}", moments[name].bfloat16()


def _pieces(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    piece: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if piece and size + tensor.nbytes > LARGEST:
            yield piece
            piece, size = {}, 0
        piece[name] = tensor.contiguous()
        size += tensor.nbytes
    yield piece


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of a folder's pieces, and what they say of the run."""
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    paths = sorted(folder.glob("state-*.safetensors"))
    if not paths:
        raise ValueError(f"{folder} holds no state-*.safetensors")
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                if metadata and file.metadata() != metadata:
                    raise ValueError(f"{path} is of another run or another moment of it than {paths[0].name}")
                metadata = file.metadata()
                tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path} is no piece of a state: {error}") from error
    return tensors, json.loads(metadata["state"])


def _part(tensors: dict[str, Tensor], part: str, names: list[str]) -> dict[str, Tensor]:
    """A module's state in float32."""
    if missing := [name for name in names if f"{part}.{name}" not in tensors]:
        raise ValueError(f"a piece is missing: there is no {part}.{missing[0]}")
    found = {name: tensors[f"{part}.{name}"] for name in names}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def _moments(tensors: dict[str, Tensor], number: int, step: int) -> dict[str, Tensor]:
    """Adam's state of one parameter; empty if its moments were left behind."""
    if any(f"{name}.{number}" not in tensors for name in MOMENTS):
        return {}
    return {"step": torch.tensor(float(step)), **{name: tensors[f"{name}.{number}"].float() for name in MOMENTS}}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.engine.state_pieces", description=__doc__)
    parser.add_argument("way", choices=["split", "join"])
    parser.add_argument("source", type=Path, help="folder of the run (split) or of the pieces (join)")
    parser.add_argument("target", type=Path, help="folder of the pieces (split) or of the run (join)")
    options = parser.parse_args()
    try:
        (split if options.way == "split" else join)(options.source, options.target)
    except (ValueError, OSError) as error:
        print(f"state_pieces: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
