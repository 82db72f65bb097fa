"""The scripts' way to it."""
