"""Train from start to finish: resolve names, set up training, manage the run directory, read the result."""
