"""timm's classifiers as zoo architectures."""
