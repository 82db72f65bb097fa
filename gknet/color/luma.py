"""The weights of luma, in a module without PyTorch, which reading a file does not need."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of encoded R, G and B in luma (ITU-R BT.601)."""
