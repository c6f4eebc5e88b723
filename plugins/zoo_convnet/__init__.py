"""Convolutional image classifiers: the CIFAR-10 ladder."""
