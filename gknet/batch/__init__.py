"""Many pictures in one go: `gknet batch`, see docs/batch.md."""
