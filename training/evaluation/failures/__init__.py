"""Where weights fail."""
