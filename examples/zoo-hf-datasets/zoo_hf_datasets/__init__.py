"""Hugging Face datasets of images as a dataset of zoo."""
