"""Where a classifier looks: class activation maps."""
