"""Turn state dicts of other programs into weights files: the only place in zoo where a pickle is opened."""
