"""A training from start to end: resolving names, setup, the run directory, the result."""
