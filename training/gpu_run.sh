#!/usr/bin/env bash
# One training run on a machine that is at hand for minutes: training/gpu_run.sh MINUTES OUT_DIR
#
# Reads shards, and the state-*.safetensors of an earlier run or start.safetensors where there are any, from .gpu/.
# Trains for what the evaluation leaves of the minutes, and writes into OUT_DIR: weights.safetensors (float16; where
# that is larger than 16 MiB, training.engine.state_pieces makes it from the pieces), the run's state as
# state-*.safetensors in pieces under 16 MiB, and log.txt. Ends within its minutes whatever happens.
#
# CONFIG names another configuration than training/configs/gknet_gpu.toml, DEVICE another device than the best there is.
set -euo pipefail

minutes=$1
out=$2
config=${CONFIG:-training/configs/gknet_gpu.toml}
device=${DEVICE:-auto}
here=$(cd "$(dirname "$0")/.." && pwd)
data=$here/.gpu
deadline=$(($(date +%s) + minutes * 60))
left() { echo $((deadline - $(date +%s) - ${1:-0})); }

cd "$here"
export PYTHONPATH=$here
mkdir -p "$out"
out=$(cd "$out" && pwd)
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
exec > >(tee "$out/log.txt") 2>&1

# A third of a short run, at most a minute and a half of a long one, for judging and writing.
reserve=$((minutes * 60 / 3))
[ "$reserve" -gt 90 ] && reserve=90

if compgen -G "$data/state-*.safetensors" >/dev/null; then
    python3 -m training.engine.state_pieces join "$data" "$run"
fi
start=()
[ -f "$data/start.safetensors" ] && start=(--weights "$data/start.safetensors")

# --minutes ends the training with its state saved; the signals are for a start that takes too long.
seconds=$(left "$reserve")
timeout --signal=TERM --kill-after=$((reserve / 3)) "$seconds" \
    python3 -m training.train --config "$config" --data "$data" --out "$run" "${start[@]}" \
    --minutes "$(awk "BEGIN { print ($seconds - 3) / 60 }")" --anneal --device "$device" ||
    echo "the training ended with code $?"

python3 -m training.engine.state_pieces split "$run" "$out"
size=$(stat -c %s "$run/weights.safetensors")
[ "$size" -lt $((16 * 1024 * 1024)) ] && cp "$run/weights.safetensors" "$out/"

judging=$(left 8)
timeout --kill-after=2 $((judging + 4)) \
    python3 -m training.evaluation.bare_network --pool "$data" --weights "$run/weights.safetensors" \
    --device "$device" --seconds $((judging - 3)) ||
    echo "the judging ended with code $?"
