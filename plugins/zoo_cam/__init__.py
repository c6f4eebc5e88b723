"""Class activation maps: where a classifier looks."""
