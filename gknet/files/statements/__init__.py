"""What files state about their own pixels: colors, channels and position."""
