"""Semantic segmentation for zoo: the class of every pixel."""
