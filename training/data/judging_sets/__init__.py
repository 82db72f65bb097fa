"""Fixed sets of composites for evaluating weights."""
