"""Plug-ins put into their hosts, and what may be wrong with that."""
