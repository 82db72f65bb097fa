"""What a training run is made of: it learns from any stream of composites."""
