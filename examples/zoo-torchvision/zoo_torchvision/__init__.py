"""torchvision's classifiers as zoo architectures."""
