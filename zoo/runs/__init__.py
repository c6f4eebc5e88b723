"""A training from start to end: resolving what was asked for, setting up, the run directory, the result."""
