"""Convert state dicts of other programs to weights files. No other package of zoo opens a user's pickle."""
