"""What an array of pixels may be, and how it is brought to network size."""
