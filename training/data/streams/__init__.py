"""Endless streams of training composites."""
