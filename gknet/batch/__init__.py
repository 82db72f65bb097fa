"""Many pictures in one go: `gknet batch`, see docs/command-line.md."""
