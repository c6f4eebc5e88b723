"""Convolutional image classifiers for small images such as CIFAR-10."""
