"""The training engine: it trains on any stream of composites."""
