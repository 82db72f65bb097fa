"""Fixed sets of composites to judge weights on."""
