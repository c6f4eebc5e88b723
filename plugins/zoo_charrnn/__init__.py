"""Character-level recurrent language models."""
