"""Installing the engine, the environment with the `gknet` command, from inside a host. Standard library only."""
