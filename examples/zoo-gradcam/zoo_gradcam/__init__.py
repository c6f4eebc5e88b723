"""pytorch-grad-cam's methods as zoo analyzers."""
