"""Files that hold layers."""
