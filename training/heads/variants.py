"""Train the head that predicts variants, from the bank's examples:

    python -m training.heads.variants --bank BANK --pool FOLDER --light FOLDER --out FILE

Makes FILE of the shipped weights, whose own answer stays the same to the bit, and a new variant head. The head learns
on the bank's composites (`training.heads.bank`) to offer one good answer for each (winner takes all), and how likely
each answer is to be the best. Beside it, the table shows an untrained head's fixed shifts. Both are evaluated on the
choosing halves of the four sets, without rounding and clipping; `training.evaluation.variants` evaluates pictures.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gknet.network import weights
from gknet.network.extensions.variants import VariantHead, make_cues
from gknet.network.model import GKNet
from training.data.judging_sets.validation import read_validation
from training.evaluation.command import run_command
from training.evaluation.four_sets import open_sets
from training.heads.bank import Bank, read_pieces
from training.heads.examples import Examples, predict_matrix
from training.heads.judging import Labels, load_judging_examples

VARIANTS = 5
BATCH = 512
RATE = 2e-3
DECAY = 1e-3
"""Weight decay."""
RELAXED = 0.03
"""Share of the loss that all further answers get, not only the best: without it, one that never wins learns nothing
(Rupprecht et al., "Learning in an Uncertain World", ICCV 2017).
"""
_CROSS_ENTROPY = 0.1
_CHUNK = 256


class Answers(NamedTuple):
    """The network's answers to composites, as far as variants depend on them.

    All sums are over a composite's pixels, divided by the number of its foreground's.

    mean: (B, 3), of the composite's foreground.   cues: (B, CUES).
    gain: (B, 3), by which the network's last layer scales a color matrix.
    slope: (B, 3, 3), of the answer's colors by the composite's, divided by the gain.
    quadratic: (B, 3, 4, 4).   gradient: (B, 3, 4), half that of the squared error by a color matrix.
    error, before: (B,), the squared errors of the answer and of the composite.
    """

    mean: Tensor
    cues: Tensor
    gain: Tensor
    slope: Tensor
    quadratic: Tensor
    gradient: Tensor
    error: Tensor
    before: Tensor

    def select(self, index: Tensor) -> Answers:
        """Return the answers with these indices."""
        return Answers(*(part[index] for part in self))


@torch.no_grad()
def find_answers(net: GKNet, examples: Examples) -> Answers:
    """Return a frozen network's answers to examples."""
    chunks = torch.split(torch.arange(len(examples.colours)), _CHUNK)
    parts = [_find_some_answers(net, examples.select(index)) for index in chunks]
    return Answers(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def _find_some_answers(net: GKNet, examples: Examples) -> Answers:
    matrix = predict_matrix(net, examples)
    pushed = (examples.quadratic @ matrix[..., None])[..., 0]  # (B, 3, 4)
    change_change, change_error, error, _ = examples.scalars[:, :4].unbind(1)
    square = (matrix * (pushed + 2 * examples.to_change)).sum(dim=(1, 2)) + change_change
    crossed = (matrix * examples.to_error).sum(dim=(1, 2)) + change_error
    weight, inside = examples.scalars[:, 5], examples.scalars[:, 6]
    share = _find_restraint(net, examples, square)
    levers = examples.quadratic[:, :, 3, 3]  # (B, 3)
    # The sums contain the last layer's gain, so this is its root mean square.
    gain = (levers / weight[:, None]).sqrt()
    channels = torch.arange(3)
    mean = examples.quadratic[:, channels, 3, channels] / levers
    deviation = (examples.quadratic[:, channels, channels, channels] / levers - mean.square()).clamp_min(0).sqrt()
    change = share[:, None] * (pushed[:, :, 3] + examples.to_change[:, :, 3]) / levers * gain
    gradient = share[:, None, None] * (pushed + examples.to_change) + examples.to_error
    return Answers(
        mean=mean,
        cues=make_cues(mean + change, change, deviation),
        gain=gain,
        slope=torch.eye(3) + share[:, None, None] * matrix[:, :, :3],
        quadratic=examples.quadratic / inside[:, None, None, None],
        gradient=gradient / inside[:, None, None],
        error=(share.square() * square + 2 * share * crossed + error).clamp_min(0) / inside,
        before=error / inside,
    )


def _find_restraint(net: GKNet, examples: Examples, square: Tensor) -> Tensor:
    """Return the share (B,) of the change that `gknet.network.extensions.restraint` leaves."""
    mean_square = square / (3 * examples.scalars[:, 5]).clamp_min(1e-12)
    light = (examples.scalars[:, 7] / (3 * examples.area).clamp_min(1e-12)).clamp_min(0)
    cubed = mean_square**3
    return cubed / (cubed + (net.config.restraint**2 * light) ** 3).clamp_min(1e-30)


def compute_errors(answers: Answers, shifts: Tensor, contrasts: Tensor) -> Tensor:
    """Return the squared errors (B, K) of all variants, the network's own answer first, without clipping.

    shifts: (B, K - 1, 3).   contrasts: (B, K - 1).
    """
    slopes = (contrasts - 1)[..., None, None] * answers.slope[:, None]  # (B, K - 1, 3, 3)
    offsets = shifts / answers.gain[:, None] - (slopes @ answers.mean[:, None, :, None])[..., 0]
    addition = torch.cat([slopes, offsets[..., None]], dim=3)
    pushed = (answers.quadratic[:, None] @ addition[..., None])[..., 0]
    more = (addition * (pushed + 2 * answers.gradient[:, None])).sum(dim=(2, 3))
    return answers.error[:, None] + F.pad(more, (1, 0))


def train_head(answers: Answers, steps: int, seed: int = 0) -> VariantHead:
    """Return a head trained on answers."""
    torch.manual_seed(seed)
    head = VariantHead(VARIANTS)
    mean, deviation = answers.cues.mean(dim=0), answers.cues.std(dim=0).clamp_min(1e-6)
    known = answers._replace(cues=(answers.cues - mean) / deviation)
    scale = answers.before.mean()
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = known.select(torch.randint(len(known.cues), (BATCH,)))
        shifts, contrasts, logits = head(batch.cues)
        errors = (compute_errors(batch, shifts, contrasts) - batch.error[:, None]) / scale
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


@torch.no_grad()
def describe(head: VariantHead, labels: Labels, answers: Answers) -> str:
    """Return a line for each set: the share of the fMSE that the first, the likeliest and the best answer leave."""
    shifts, contrasts, logits = head(answers.cues)
    errors = compute_errors(answers, shifts, contrasts).clamp_min(0)
    likeliest = errors.gather(1, logits.argmax(dim=1, keepdim=True))[:, 0]
    lines = []
    for name in dict.fromkeys(label[0] for label in labels):
        index = torch.tensor([label[0] == name for label in labels])
        before = answers.before[index].sum()
        first, likely, best = (
            float(part[index].sum() / before) for part in (errors[:, 0], likeliest, errors.amin(dim=1))
        )
        lines.append(f"{name}: first {first:.3f}, likeliest {likely:.3f}, best of {head.others + 1} {best:.3f}")
    return "\n".join(lines)


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    path = options.weights or weights.find_shipped("gknet-s")
    net = weights.load(path)
    bank = Bank(options.bank, path)
    sets = open_sets(read_validation(options.pool), options.light, "choosing")
    labels, judging = load_judging_examples(bank, net, sets, 1)
    judged = find_answers(net, judging)
    answers = [find_answers(net, read_pieces([piece])) for piece in bank.pieces]
    learnt = train_head(Answers(*(torch.cat(fields) for fields in zip(*answers, strict=True))), options.steps)
    for title, head in (("fixed shifts", VariantHead(VARIANTS).eval()), ("learnt", learnt)):
        print(f"{title}\n{describe(head, labels, judged)}", flush=True)
    new = GKNet(replace(net.config, variants=VARIANTS))
    new.variant_head = learnt
    missing = new.load_state_dict(
        {name: value for name, value in net.state_dict().items() if not name.startswith("variant_head.")}, strict=False
    )
    assert all(name.startswith("variant_head.") for name in missing.missing_keys)
    weights.save(new, options.out)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.heads.variants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bank", type=Path, required=True, help="folder of `training.heads.bank`")
    parser.add_argument("--pool", type=Path, required=True, help="folder of shards; its validation split is evaluated")
    parser.add_argument("--light", type=Path, required=True, help="folder of the fixed cameras' shards")
    parser.add_argument("--out", type=Path, required=True, help="weight file to write")
    parser.add_argument("--weights", type=Path, help="weight file to start from; default: the shipped gknet-s")
    parser.add_argument("--steps", type=int, default=8000, help=f"training steps of {BATCH} composites")
    options = parser.parse_args()
    return run_command("heads.variants", lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
