"""The client for plug-ins. Runs in a host's Python 3.9 or later: standard library only, no compiled modules."""
