"""Train the head that predicts variants, from the answers that `training.heads.answers` keeps:

    python -m training.heads.variants --answers ANSWERS --out FILE

Makes FILE of the shipped weights, whose own answer stays the same to the bit, and a new variant head. The head learns
to offer one good answer for each composite (winner takes all), and how likely each answer is to be the best.
`training.evaluation.variants` evaluates it on pictures.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.errors import PictureError
from gknet.network import weights
from gknet.network.config import MAX_VARIANTS
from gknet.network.extensions.variants import VariantHead, apply_tone_curves, make_cues
from gknet.network.model import GKNet
from training.evaluation.command import run_command
from training.heads.answers import list_pieces, read_answers

BATCH = 256
RATE = 2e-3
DECAY = 0.1
"""Weight decay."""
RELAXED = 0.01
"""Share of the loss that all further answers get, not only the best: without it, one that never wins learns nothing
(Rupprecht et al., "Learning in an Uncertain World", ICCV 2017).
"""
_CROSS_ENTROPY = 0.1
"""Weight of the probabilities' loss."""


def split_batch(answers: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return composite, answer, and photograph (B, n, 3) in [0, 1] of answers (N, 3, n, 3) uint8."""
    before, after, real = (answers[index].float() / 255).unbind(1)
    return before, after, real


def compute_errors(after: Tensor, real: Tensor, shifts: Tensor, contrasts: Tensor) -> Tensor:
    """Return the mean squared error (B, K) of all variants, the network's own answer first.

    after, real: (B, n, 3).   shifts: (B, K - 1, 3).   contrasts: (B, K - 1).
    """
    varied = apply_tone_curves(after[:, None], shifts[:, :, None], contrasts[:, :, None, None])  # (B, K - 1, n, 3)
    everything = torch.cat([after[:, None], varied], dim=1)
    return (everything - real[:, None]).square().mean(dim=(2, 3))


def train_head(answers: Tensor, steps: int, seed: int = 0) -> VariantHead:
    """Return a head trained on answers as from `read_answers`."""
    torch.manual_seed(seed)
    head = VariantHead(MAX_VARIANTS)
    chunks = torch.arange(len(answers)).split(BATCH)  # type: ignore[no-untyped-call]
    cues = torch.cat([make_cues(*split_batch(answers, index)[:2]) for index in chunks])
    mean, deviation = cues.mean(dim=0), cues.std(dim=0).clamp_min(1e-6)
    scale = torch.cat([_measure_before(*split_batch(answers, index)[::2]) for index in chunks]).mean()
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        index = torch.randint(len(answers), (BATCH,))
        _, after, real = split_batch(answers, index)
        shifts, contrasts, logits = head((cues[index] - mean) / deviation)
        errors = compute_errors(after, real, shifts, contrasts) / scale
        best = errors.min(dim=1)
        loss = (1 - RELAXED) * best.values.mean() + RELAXED * errors[:, 1:].mean()
        loss = loss + _CROSS_ENTROPY * F.cross_entropy(logits, best.indices)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    first = head.hidden[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():  # the first layer takes over what the cues were divided by
        first.bias.sub_(first.weight @ (mean / deviation))
        first.weight.div_(deviation)
    return head.eval().requires_grad_(False)


def _measure_before(before: Tensor, real: Tensor) -> Tensor:
    """Return the mean squared error (B,) of the composites."""
    return (before - real).square().mean(dim=(1, 2))


@torch.no_grad()
def describe_errors(head: VariantHead, answers: Tensor) -> str:
    """Return the shares of the squared error that the first, the likeliest, and the best answer leave, in words."""
    before, after, real = split_batch(answers, torch.arange(len(answers)))
    shifts, contrasts, logits = head(make_cues(before, after))
    errors = compute_errors(after, real, shifts, contrasts)
    likeliest = errors.gather(1, logits.argmax(dim=1, keepdim=True))[:, 0]
    untouched = _measure_before(before, real).sum()
    first, likely, best = (float(part.sum() / untouched) for part in (errors[:, 0], likeliest, errors.amin(dim=1)))
    return f"first {first:.3f}, likeliest {likely:.3f}, best of {head.others + 1} {best:.3f}"


def replace_variants(net: GKNet, head: VariantHead) -> GKNet:
    """Return a copy of a network with other variants."""
    new = GKNet(replace(net.config, variants=head.others + 1))
    new.variant_head = head
    own = {name: value for name, value in net.state_dict().items() if not name.startswith("variant_head.")}
    missing = new.load_state_dict(own, strict=False).missing_keys
    assert all(name.startswith("variant_head.") for name in missing)
    return new


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    if not list_pieces(options.answers):
        raise PictureError(
            f"{options.answers} contains no answers.", "Make some with python -m training.heads.answers."
        )
    answers = read_answers(options.answers)
    held_out = max(1, len(answers) // 20)
    learnt = train_head(answers[held_out:], options.steps)
    print(f"{len(answers)} composites, of them {held_out} held out (whose photographs were trained on)")
    print(f"fixed shifts: {describe_errors(VariantHead(MAX_VARIANTS).eval(), answers[:held_out])}")
    print(f"learnt: {describe_errors(learnt, answers[:held_out])}", flush=True)
    net = weights.load(options.weights or weights.find_shipped("gknet-s"))
    weights.save(replace_variants(net, learnt), options.out)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.heads.variants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--answers", type=Path, required=True, help="folder of `training.heads.answers`")
    parser.add_argument("--out", type=Path, required=True, help="weight file to write")
    parser.add_argument("--weights", type=Path, help="weight file to start from; default: the shipped gknet-s")
    parser.add_argument("--steps", type=int, default=6000, help=f"training steps of {BATCH} composites")
    options = parser.parse_args()
    return run_command("heads.variants", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
