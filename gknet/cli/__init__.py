"""The `gknet` command."""
