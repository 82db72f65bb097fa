"""Installing the plug-ins in their hosts, and checking the installation."""
