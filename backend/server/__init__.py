"""The process that hosts and scripts send their pictures to."""
