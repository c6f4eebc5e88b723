"""Where a classifier looked: class activation maps and their family."""
