"""Analyze a trained model: where it looks, what it computes, and how far to trust the result."""
