"""Training of the network's two heads alone, from examples that are worked out once."""
