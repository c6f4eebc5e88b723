"""timm's classifiers as architectures of zoo."""
