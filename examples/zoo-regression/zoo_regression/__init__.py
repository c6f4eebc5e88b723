"""A regression task: rows of numbers to numbers."""
