"""pytorch-grad-cam's methods as analyzers of zoo."""
