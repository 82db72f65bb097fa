"""Training of the network, and judging of its weights."""
