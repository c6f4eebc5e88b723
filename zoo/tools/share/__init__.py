"""Share models: cards that people read, and zoos from which others use and check weights."""
