"""The weights of luma, apart from the conversions, so that reading a file doesn't import PyTorch."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of encoded R, G and B in luma (ITU-R BT.601)."""
