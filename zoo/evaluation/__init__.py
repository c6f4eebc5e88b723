"""Measure a model on data, and read the user's own inputs."""
