"""A package, or another one of that name would be found first."""
