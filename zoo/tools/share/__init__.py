"""Share models: cards that people read."""
