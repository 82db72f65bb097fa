"""What runs inside a host: standard library only, Python 3.9 and later, no numpy, no compiled modules."""
