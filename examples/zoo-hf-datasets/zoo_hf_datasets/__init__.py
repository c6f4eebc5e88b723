"""Hugging Face image datasets as a zoo dataset."""
