"""`gknet batch`: harmonization of many pictures; see docs/command-line.md."""
