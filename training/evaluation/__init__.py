"""Evaluation of weights."""
