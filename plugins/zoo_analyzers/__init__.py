"""Analyzers of a model's behavior: the outputs of its layers, and its mistakes."""
