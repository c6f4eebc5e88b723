"""Class activation maps, which show where a classifier looks."""
