"""Layered file formats."""
