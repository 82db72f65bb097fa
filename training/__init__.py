"""Train the network and evaluate its weights."""
