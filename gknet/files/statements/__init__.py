"""What a file says its numbers mean: colors, channels and place."""
