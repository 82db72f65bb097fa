"""Color spaces and profiles."""
