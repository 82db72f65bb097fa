"""Readers and writers of picture files, one module for each library that they use."""
