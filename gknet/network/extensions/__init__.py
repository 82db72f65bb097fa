"""What the networks here have beside the paper."""
