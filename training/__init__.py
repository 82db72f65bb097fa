"""Training, evaluation and ablation of GKNet. Not part of the installed package.

From the top down, and imports point that way:

- `train`, `evaluate`, `ablate`, `improve`: the commands. `configs`: the settings of runs.
- `heads`, `human_study`, `research`: training of the two heads alone, the paper's user study, one-off measurements.
- `evaluation`: metrics, tables and failures of a network on pairs of composites and real photographs.
- `data`: photographs in shards; `synthesis` makes composites of them, `streams` feeds them to training,
  `judging_sets` keeps those that weights are judged on.
- `engine`: a run's settings, its loss, its loop and its state. It learns from any stream.
"""
