"""One-off measurements and the steps that made the shipped weights. Not an API."""
