"""Photographs and the composites made of them."""
