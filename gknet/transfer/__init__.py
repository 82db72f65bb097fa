"""Transfer of the network's small result to every full-resolution pixel."""
