"""Photographs and the composites made from them."""
