"""Measuring a model on data, and the user's own inputs."""
