"""Fit the confidence of a classifier to its accuracy."""
