"""Endless streams of composites to train on."""
