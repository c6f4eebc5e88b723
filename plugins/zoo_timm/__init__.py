"""timm's image classifiers as architectures, pretrained on ImageNet or not."""
