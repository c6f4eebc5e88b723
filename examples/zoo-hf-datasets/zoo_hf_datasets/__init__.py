"""Hugging Face datasets of pictures as a dataset of zoo."""
