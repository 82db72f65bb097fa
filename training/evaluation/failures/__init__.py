"""Analysis of where weights fail."""
