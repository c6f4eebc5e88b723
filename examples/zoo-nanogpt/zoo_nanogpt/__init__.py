"""A small GPT with a key-value cache."""
