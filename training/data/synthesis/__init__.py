"""Composites made from real photographs by changing the colours of their objects."""
