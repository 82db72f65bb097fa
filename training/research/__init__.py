"""One-off measurements and steps of the shipped weights' making; not an API."""
