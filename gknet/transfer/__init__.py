"""The network's small answer, on every full-resolution pixel."""
