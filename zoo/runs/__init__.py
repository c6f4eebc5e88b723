"""Run a training from start to end: resolve names, set up, manage the run directory, read the result."""
